//! The `dyno` command.

mod ago;
mod arguments;
mod failure;
mod places;
mod say;
mod serve_component;
mod signals;
mod verbs;

use std::process::ExitCode;

use clap::Parser as _;

use arguments::Arguments;

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
