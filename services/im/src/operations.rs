//! All operations, part by part.

use crate::{attach, direct, discover, editing, files, friends, groups, history, joining, list, members, op::Op, people, presence, reacting, recalling, receipts, roles, rooms, search, send, settings, typing};

/// The table of operations.
pub(crate) fn all() -> Vec<Op> {
    let parts = [
        attach::operations(),
        list::operations(),
        direct::operations(),
        send::operations(),
        receipts::operations(),
        people::operations(),
        friends::operations(),
        presence::operations(),
        groups::operations(),
        members::operations(),
        joining::operations(),
        roles::operations(),
        settings::operations(),
        discover::operations(),
        rooms::operations(),
        files::operations(),
        history::operations(),
        editing::operations(),
        recalling::operations(),
        reacting::operations(),
        typing::operations(),
        search::operations(),
    ];
    parts.into_iter().flatten().collect()
}
