//! The slug compiler and the buildpacks it carries.

#![warn(missing_docs)]

pub mod component;
pub mod limits;
