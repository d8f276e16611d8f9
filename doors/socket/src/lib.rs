//! The door of our own protocol, `yizhan.v1`.
pub mod wire;
