//! Where events go: pretty on a terminal, JSON elsewhere, and how loud.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{EnvFilter, Layer, Registry, layer::SubscriberExt, reload, util::SubscriberInitExt};

use crate::otlp::Exporter;

/// Libraries that say much about themselves: at a plain level they are heard from `warn` on. A filter by part
/// says it otherwise: `info,fjall=info`.
const QUIET: [&str; 6] = ["fjall", "lsm_tree", "hyper", "hyper_util", "h2", "rustls"];

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people on a terminal, as JSON elsewhere.
    #[default]
    Auto,
    /// For people: time, level, sentence, fields.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// The log could not be set up, or its level is not one.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not valid, and why.
    #[error(
        "'{0}' is no log level: write error, warn, info, debug or trace, or a filter such as \"info,yizhan_net=debug\" ({1})"
    )]
    BadLevel(String, String),
    /// Somebody else has set up a log in this process.
    #[error("the log is set up already")]
    Twice,
}

type Level = reload::Handle<EnvFilter, Registry>;

/// The running log, whose level can be changed.
#[derive(Debug, Clone)]
pub struct Logs {
    level: Level,
}

impl Logs {
    /// Starts writing events to the error stream; spans go to `exporter`, where there is one.
    ///
    /// # Errors
    /// See [`LogError`].
    pub fn start(level: &str, format: Format, exporter: Option<Exporter>) -> Result<Self, LogError> {
        let terminal = std::io::stderr().is_terminal();
        let pretty = match format {
            Format::Auto => terminal,
            Format::Pretty => true,
            Format::Json => false,
        };
        let (filter, level) = reload::Layer::new(filter(level)?);
        let writer = std::io::stderr;
        let events = if pretty {
            tracing_subscriber::fmt::layer().compact().with_ansi(terminal).with_writer(writer).boxed()
        } else {
            tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(writer).boxed()
        };
        let spans = exporter.map(Exporter::into_layer);
        tracing_subscriber::registry()
            .with(events.with_filter(filter))
            .with(spans)
            .try_init()
            .map_err(|_| LogError::Twice)?;
        Ok(Self { level })
    }

    /// From now on this level.
    ///
    /// # Errors
    /// [`LogError::BadLevel`]; the level stays as it was.
    pub fn set_level(&self, level: &str) -> Result<(), LogError> {
        let filter = filter(level)?;
        self.level.reload(filter).map_err(|e| LogError::BadLevel(level.to_owned(), e.to_string()))
    }
}

/// Checks a level without using it.
///
/// # Errors
/// [`LogError::BadLevel`].
pub fn check_level(level: &str) -> Result<(), LogError> {
    filter(level).map(|_| ())
}

fn filter(level: &str) -> Result<EnvFilter, LogError> {
    let bad = |why: String| LogError::BadLevel(level.to_owned(), why);
    // EnvFilter takes any single word for a crate's name, and would then be silent about the slip.
    let word = (!level.contains(['=', ','])).then(|| level.parse::<LevelFilter>().ok());
    if level.is_empty() || word == Some(None) {
        return Err(bad("an unknown word".into()));
    }
    let quiet = |filter: String, part: &&str| format!("{filter},{part}=warn");
    let text = match word.flatten() {
        Some(word) if word >= LevelFilter::WARN => QUIET.iter().fold(level.to_owned(), quiet),
        _ => level.to_owned(),
    };
    EnvFilter::builder().parse(text).map_err(|e| bad(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_checked() {
        for good in ["info", "off", "warn,yizhan_net=debug", "DEBUG"] {
            assert!(check_level(good).is_ok(), "{good}");
        }
        for bad in ["loud", "yizhan=loud,x", ""] {
            assert!(check_level(bad).is_err(), "{bad}");
        }
    }
}
