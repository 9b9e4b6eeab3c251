//! The command line: every verb with its arguments.

use clap::{Parser, Subcommand};

use crate::verbs::{
    apps, apps_destroy, apps_info, build, component, config, config_set, config_unset, detect,
    doctor, env, exec, inspect, logs, precompress, ps, ps_scale, releases, rollback, serve, setup,
    up,
};

/// Heroku's developer experience on WebAssembly.
#[derive(Debug, Parser)]
#[command(name = "dyno", version, about, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Everything `dyno` can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Build an app, run it and follow its logs, all in this process
    Up(up::Arguments),
    /// Run the platform
    Serve(serve::Arguments),
    /// Print shell lines that let other clients find the platform
    Env(env::Arguments),
    /// Set once on a machine what other programs need
    Setup(setup::Arguments),
    /// Look at everything a deploy needs, and say how to mend it
    Doctor(doctor::Arguments),

    /// List the apps
    Apps(apps::Arguments),
    /// Show an app
    #[command(name = "apps:info", visible_alias = "info")]
    AppsInfo(apps_info::Arguments),
    /// Remove an app
    #[command(name = "apps:destroy", visible_alias = "destroy")]
    AppsDestroy(apps_destroy::Arguments),
    /// Show the config vars
    Config(config::Arguments),
    /// Set config vars
    #[command(name = "config:set")]
    ConfigSet(config_set::Arguments),
    /// Remove config vars
    #[command(name = "config:unset")]
    ConfigUnset(config_unset::Arguments),
    /// Show the log
    Logs(logs::Arguments),
    /// List the dynos
    Ps(ps::Arguments),
    /// Show or change how many dynos run
    #[command(name = "ps:scale", visible_alias = "scale")]
    PsScale(ps_scale::Arguments),
    /// List the releases
    Releases(releases::Arguments),
    /// Go back to an earlier release
    #[command(visible_alias = "releases:rollback")]
    Rollback(rollback::Arguments),

    /// Make a slug of an app, without a platform
    Build(build::Arguments),
    /// Say which buildpack takes an app
    Detect(detect::Arguments),
    /// Show what is in a slug
    Inspect(inspect::Arguments),
    /// Run a WebAssembly file in the same sandbox as a dyno
    Exec(exec::Arguments),
    /// Look at and adapt WebAssembly files (for buildpacks)
    Component(component::Arguments),
    /// Compress a site's files in advance (for buildpacks)
    #[command(hide = true)]
    Precompress(precompress::Arguments),
}
