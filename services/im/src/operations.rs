//! All operations, part by part.

use crate::{
    admin, attach, direct, discover, editing, erasing, files, friends, groups, history, importing, joining,
    list, members, moderation, op::Op, people, presence, reacting, recalling, receipts, reports, roles,
    rooms, search, send, settings, typing,
};

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
        moderation::operations(),
        reports::operations(),
        admin::operations(),
        erasing::operations(),
        importing::operations(),
    ];
    parts.into_iter().flatten().collect()
}
