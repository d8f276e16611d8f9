//! Webhooks: the operator's own programs, asked before and told after.
//!
//! Read in this order: [`signature`] (who speaks), [`before`] (a question with a budget), [`events`] (what is told,
//! and how far), [`after`] (telling it until it is taken).

pub(crate) mod after;
pub mod before;
pub(crate) mod events;
pub(crate) mod signature;
