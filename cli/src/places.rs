//! Where things lie when nobody says: the data directory of the platform, and caches that belong to none.

use std::env;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::failure::Hint;

/// Which platform's directory.
#[derive(Args, Clone, Debug)]
pub struct DataDir {
    /// Where the platform keeps everything [default: dyno in the user's data directory]
    #[arg(long, value_name = "DIR", env = "DYNO_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
}

impl DataDir {
    /// The directory that was chosen, or the user's own.
    pub fn path(&self) -> anyhow::Result<PathBuf> {
        match &self.data_dir {
            Some(path) => Ok(path.clone()),
            None => Ok(user_directory("XDG_DATA_HOME", ".local/share")?.join("dyno")),
        }
    }
}

/// Where things are kept that can always be made again.
pub fn cache() -> anyhow::Result<PathBuf> {
    Ok(user_directory("XDG_CACHE_HOME", ".cache")?.join("dyno"))
}

fn user_directory(variable: &str, below_home: &str) -> anyhow::Result<PathBuf> {
    let absolute = |name: &str| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute(variable)
        .or_else(|| absolute("HOME").map(|home| home.join(below_home)))
        .ok_or_else(|| {
            let what = "there is no directory to keep things in: HOME is not set";
            Hint::new(what, "choose one with --data-dir").into()
        })
}

/// A path as messages show it.
pub fn shown(path: &Path) -> String {
    path.display().to_string()
}
