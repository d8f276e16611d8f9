//! All operations, part by part.

use crate::{attach, direct, list, op::Op, receipts, send};

/// The table of operations.
pub(crate) fn all() -> Vec<Op> {
    let parts = [
        attach::operations(),
        list::operations(),
        direct::operations(),
        send::operations(),
        receipts::operations(),
    ];
    parts.into_iter().flatten().collect()
}
