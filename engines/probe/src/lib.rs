//! Seeing inside: logs, metrics in Prometheus' text form, traces for OpenTelemetry, and what the process
//! itself uses.
//!
//! Read in this order: [`text`] (writing an exposition), [`process`] (what the operating system counts),
//! [`log`] (where events go), [`otlp`] (spans for a collector).

pub mod log;
pub mod otlp;
pub mod process;
pub mod text;

pub use log::{Format, LogError, Logs};
pub use otlp::{Export, Exporter, OtlpError, OtlpFigures};
pub use process::ProcessFigures;
pub use text::Exposition;
