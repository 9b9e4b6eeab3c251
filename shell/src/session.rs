//! What lives from one line to the next: variables, the working directory, the last status.

use std::collections::BTreeMap;
use std::fmt;

use crate::host::ExitStatus;
use crate::limits::{EXPANSION_BYTES_MAX, VARIABLES_BYTES_MAX};
use crate::path;

/// The state of a shell.
///
/// It is only ever changed between two steps of a line: when a running line is dropped, what is left is as after its last
/// finished command.
#[derive(Clone)]
pub struct Session {
    variables: BTreeMap<String, Variable>,
    bytes: usize,
    pub(crate) directory: String,
    pub(crate) status: ExitStatus,
}

#[derive(Clone)]
struct Variable {
    /// `export A` alone gives the attribute and no value.
    value: Option<String>,
    exported: bool,
}

/// A value, or all of them, would be over its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the value does not fit: one has at most {EXPANSION_BYTES_MAX} bytes, all variables together {VARIABLES_BYTES_MAX}"
)]
pub struct VariableTooLarge;

impl Session {
    /// A session that has these variables, all exported, and is in this directory (an absolute path).
    ///
    /// Variables that do not fit [`VARIABLES_BYTES_MAX`] are left out.
    pub fn new<Name: Into<String>, Value: Into<String>>(
        environment: impl IntoIterator<Item = (Name, Value)>,
        directory: impl Into<String>,
    ) -> Self {
        let mut session = Self {
            variables: BTreeMap::new(),
            bytes: 0,
            directory: path::resolve("/", &directory.into()),
            status: ExitStatus::SUCCESS,
        };
        for (name, value) in environment {
            let _ = session.put(&name.into(), Some(value.into()), true);
        }
        let directory = session.directory.clone();
        let _ = session.put("PWD", Some(directory), true);
        session
    }

    /// A variable's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name)?.value.as_deref()
    }

    /// Sets a variable. It stays exported if it was.
    pub fn set(&mut self, name: &str, value: impl Into<String>) -> Result<(), VariableTooLarge> {
        let exported = self.variables.get(name).is_some_and(|known| known.exported);
        self.put(name, Some(value.into()), exported)
    }

    /// Makes a variable part of the environment of programs, with or without a value.
    pub fn export(&mut self, name: &str) {
        match self.variables.get_mut(name) {
            Some(variable) => variable.exported = true,
            // A name alone fits, or the session is full of names: then there is nothing to export either.
            None => drop(self.put(name, None, true)),
        }
    }

    /// Removes a variable.
    pub fn unset(&mut self, name: &str) {
        if let Some(variable) = self.variables.remove(name) {
            self.bytes -= size(name, variable.value.as_deref());
        }
    }

    /// The environment of a program, in order of names.
    pub fn environment(&self) -> Vec<(String, String)> {
        self.exported()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect()
    }

    /// The working directory.
    pub fn directory(&self) -> &str {
        &self.directory
    }

    /// The status of the last command: `$?`.
    pub fn status(&self) -> ExitStatus {
        self.status
    }

    /// Everything that is exported, also what has no value.
    pub(crate) fn exported(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.variables
            .iter()
            .filter(|(_, variable)| variable.exported)
            .map(|(name, variable)| (name.as_str(), variable.value.as_deref()))
    }

    /// Goes to another directory, which exists.
    pub(crate) fn change_directory(&mut self, directory: String) -> Result<(), VariableTooLarge> {
        let before = self.get("PWD").unwrap_or(&self.directory).to_owned();
        self.put("OLDPWD", Some(before), true)?;
        self.put("PWD", Some(directory.clone()), true)?;
        self.directory = directory;
        Ok(())
    }

    /// Gives a variable the state it has in another session.
    pub(crate) fn restore(&mut self, name: &str, from: &Self) {
        self.unset(name);
        if let Some(variable) = from.variables.get(name) {
            self.bytes += size(name, variable.value.as_deref());
            self.variables.insert(name.to_owned(), variable.clone());
        }
    }

    /// The session that a program `bash` has: only what is exported passes.
    pub(crate) fn child(&self) -> Self {
        Self::new(self.environment(), self.directory.clone())
    }

    fn put(
        &mut self,
        name: &str,
        value: Option<String>,
        exported: bool,
    ) -> Result<(), VariableTooLarge> {
        let before = self
            .variables
            .get(name)
            .map_or(0, |known| size(name, known.value.as_deref()));
        let bytes = self.bytes - before + size(name, value.as_deref());
        let too_long = value
            .as_ref()
            .is_some_and(|value| value.len() > EXPANSION_BYTES_MAX);
        if too_long || bytes > VARIABLES_BYTES_MAX {
            return Err(VariableTooLarge);
        }
        self.bytes = bytes;
        self.variables
            .insert(name.to_owned(), Variable { value, exported });
        Ok(())
    }
}

fn size(name: &str, value: Option<&str>) -> usize {
    // What the map itself needs for an entry counts too: a million names are not for nothing.
    name.len() + value.map_or(0, str::len) + 64
}

/// Values are secrets more often than not: only names are shown.
impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Session")
            .field("variables", &self.variables.keys().collect::<Vec<_>>())
            .field("directory", &self.directory)
            .field("status", &self.status)
            .finish()
    }
}
