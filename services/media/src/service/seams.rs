//! What the service needs from outside.

use std::{fmt, sync::Arc};

use futures_util::future::BoxFuture;

use crate::{Name, access::Gate, broadcast::Broadcast};

/// What the service needs from outside.
#[derive(Clone)]
pub struct Seams {
    /// Who may watch, and tokens.
    pub gate: Gate,
    /// Who records; `None` where nobody does.
    pub recorder: Option<Arc<dyn Recorder>>,
    /// 128 unpredictable bits a call.
    pub random: Arc<dyn Fn() -> u128 + Send + Sync>,
}

impl fmt::Debug for Seams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seams")
    }
}

/// Who writes broadcasts to files.
pub trait Recorder: Send + Sync + 'static {
    /// Begins to record a broadcast, or ends to. Where it is so already nothing happens.
    ///
    /// # Errors
    /// In words for who asked: the disk is full, and so on.
    fn set(&self, broadcast: Broadcast, on: bool) -> BoxFuture<'static, Result<(), String>>;

    /// Whether a broadcast is being recorded.
    fn is_on(&self, name: &Name) -> bool;
}
