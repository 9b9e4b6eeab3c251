//! The `dyno` command.

mod action;
mod ago;
mod api;
mod arguments;
mod authority;
mod build_output;
mod columns;
mod compiler;
mod env_file;
mod failure;
mod git_setting;
mod log_view;
mod places;
mod say;
mod scale;
mod serve_component;
mod signals;
mod source_archive;
mod target;
mod text_stream;
mod verbs;

use std::process::ExitCode;

use clap::Parser as _;
use mimalloc::MiMalloc;

use arguments::Arguments;

/// A request allocates and frees some fifty times, most of it on one thread.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // clap itself ends the process with 2 when the arguments are wrong.
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(verbs::run(arguments.verb));
            // A blocked thread (a read of the terminal, a compilation) must not keep the process alive.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(error.into()),
    };
    result.unwrap_or_else(|error| {
        failure::print(&error);
        ExitCode::FAILURE
    })
}
