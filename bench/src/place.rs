//! A data directory that a scenario has for itself.

use anyhow::Context;
use std::fs;
use std::path::{Path, PathBuf};

use crate::api::Api;
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
