//! What every connection of the door goes by.

use std::sync::Arc;

use crate::{Config, Meters};

/// What every connection of the door goes by.
#[derive(Debug, Default)]
pub struct Terms {
    /// The section of the config.
    pub config: Config,
    /// What is counted.
    pub meters: Arc<Meters>,
}
