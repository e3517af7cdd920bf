//! The settings file that all programs of the appliance share.
//!
//! A program [`declare!`]s the sections and keys that it reads, lays the files over each other ([`merged`]), and gives
//! the values a meaning with a [`checker`]. All problems of all files are found in one pass, so that a person mends
//! the file once.
#![forbid(unsafe_code)]

pub mod checker;
pub mod declare;
pub mod error;
pub mod field;
pub mod merged;
pub mod reader;
pub mod shared;
mod syntax;
mod text;

pub use checker::Checker;
pub use declare::Format;
pub use error::{Kind, Place, Problem, Problems};
pub use field::{At, Field, Listed, Listing};
pub use merged::{Judged, Merged};
