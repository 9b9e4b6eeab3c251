//! The verbs, one file each, and the way from a verb to its code.

pub mod apps;
pub mod apps_destroy;
pub mod apps_info;
pub mod build;
pub mod component;
pub mod config;
pub mod config_set;
pub mod config_unset;
pub mod detect;
pub mod doctor;
pub mod env;
pub mod exec;
pub mod inspect;
pub mod logs;
pub mod precompress;
pub mod ps;
pub mod ps_scale;
pub mod releases;
pub mod rollback;
pub mod serve;
pub mod setup;
pub mod up;

use std::process::ExitCode;

use crate::arguments::Verb;

/// Does what was asked; the exit code is the verb's own.
pub async fn run(verb: Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Apps(arguments) => apps::run(arguments).await,
        Verb::AppsDestroy(arguments) => apps_destroy::run(arguments).await,
        Verb::AppsInfo(arguments) => apps_info::run(arguments).await,
        Verb::Build(arguments) => build::run(arguments).await,
        Verb::Component(arguments) => component::run(&arguments),
        Verb::Config(arguments) => config::run(arguments).await,
        Verb::ConfigSet(arguments) => config_set::run(arguments).await,
        Verb::ConfigUnset(arguments) => config_unset::run(arguments).await,
        Verb::Detect(arguments) => detect::run(&arguments),
        Verb::Doctor(arguments) => doctor::run(arguments).await,
        Verb::Env(arguments) => env::run(&arguments),
        Verb::Exec(arguments) => exec::run(arguments).await,
        Verb::Inspect(arguments) => inspect::run(&arguments),
        Verb::Logs(arguments) => logs::run(arguments).await,
        Verb::Precompress(arguments) => precompress::run(&arguments),
        Verb::Ps(arguments) => ps::run(arguments).await,
        Verb::PsScale(arguments) => ps_scale::run(arguments).await,
        Verb::Releases(arguments) => releases::run(arguments).await,
        Verb::Rollback(arguments) => rollback::run(arguments).await,
        Verb::Serve(arguments) => serve::run(arguments).await,
        Verb::Setup(arguments) => setup::run(&arguments),
        Verb::Up(arguments) => up::run(arguments).await,
    }
}
