//! The configuration: what can be set, where it comes from, how it is written.
//!
//! Read in this order: [`sections`] (what there is), `layers` (where it comes from), `tree` and `read` (how it
//! gets from there to here), `docs` and `write` (the manual and the reference, made from the sections' doc
//! comments).

mod docs;
mod layers;
mod read;
pub(crate) mod sections;
mod tree;
pub(crate) mod units;
mod write;

pub(crate) use layers::{Layers, environment};
pub(crate) use sections::Config;
pub(crate) use write::{init_file, reference, show};
