//! A data directory that a scenario has for itself.

use anyhow::Context;
use std::fs;
use std::path::{Path, PathBuf};

use crate::api::Api;
use crate::peers;
use crate::server::{Recipe, Server};

/// A data directory of a scenario's own, new each time, and the server that uses it.
#[derive(Debug)]
pub struct Place {
    /// How to deploy into it and serve it.
    pub recipe: Recipe,
    data_dir: PathBuf,
}

impl Place {
    /// An empty directory in the place of `data_dir`, for a recipe that is deployed.
    pub fn new(hello: &Recipe, data_dir: &Path) -> anyhow::Result<Self> {
        if data_dir.exists() {
            fs::remove_dir_all(data_dir)
                .with_context(|| format!("cannot remove {}", data_dir.display()))?;
        }
        Ok(Self {
            recipe: moved(hello, data_dir),
            data_dir: data_dir.to_owned(),
        })
    }

    /// An empty directory with these settings, for `dyno` alone; once it serves, it is asked for the app `host`.
    pub fn platform(
        dyno: &Path,
        data_dir: &Path,
        host: &str,
        settings: &str,
    ) -> anyhow::Result<Self> {
        let mut recipe = peers::platform(dyno, data_dir);
        recipe.host = Some(format!("{host}.localhost"));
        let place = Self::new(&recipe, data_dir)?;
        fs::create_dir_all(data_dir)?;
        fs::write(data_dir.join("dyno.toml"), settings)?;
        Ok(place)
    }

    /// The recipe of another app in this directory.
    pub fn also(&self, recipe: &Recipe) -> Recipe {
        moved(recipe, &self.data_dir)
    }

    /// The API of its running server.
    pub fn api(&self, server: &Server) -> anyhow::Result<Api> {
        Api::of(server, &self.data_dir)
    }
}

/// The recipe with another data directory.
fn moved(recipe: &Recipe, data_dir: &Path) -> Recipe {
    let moved = |arguments: &[String]| -> Vec<String> {
        let place = |argument: &String| {
            if argument.starts_with("--data-dir=") {
                format!("--data-dir={}", data_dir.display())
            } else {
                argument.clone()
            }
        };
        arguments.iter().map(place).collect()
    };
    Recipe {
        deploy: recipe.deploy.as_deref().map(moved),
        arguments: moved(&recipe.arguments),
        ..recipe.clone()
    }
}
