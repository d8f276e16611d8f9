//! The door of MQTT 3.1.1 and 5.0.
//!
//! Read in this order: [`wire`] (bytes).

pub mod wire;
