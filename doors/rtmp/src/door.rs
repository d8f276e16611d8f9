//! Where the door attaches: TCP and TLS.

use std::sync::Arc;

use yizhan_media::{Media, Seat};
use yizhan_net::{Door, Listen, Site, SiteError, Stream, drive};

use crate::{Connection, Guest, Terms};

/// The door of RTMP. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Rtmp {
    media: Media,
    terms: Arc<Terms>,
}

impl Rtmp {
    /// A door to these broadcasts.
    #[must_use]
    pub fn new(media: Media, terms: Arc<Terms>) -> Self {
        Self { media, terms }
    }

    fn listen(&self, site: &mut Site, door: &'static str, at: &Listen) -> Result<(), SiteError> {
        let rtmp = self.clone();
        let clock = site.clock();
        site.tcp(door, at, move |stream: Stream| {
            let guest = Guest {
                address: stream.peer().address.ip(),
                frame_bytes_max: rtmp.media.config().frame_bytes_max,
            };
            let connection = Connection::new(clock.now(), rtmp.terms.clone(), guest);
            let line = stream.line().clone();
            Box::pin(drive(stream, connection, Seat::new(rtmp.media.clone()), line))
        })
    }
}

impl std::fmt::Debug for Rtmp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rtmp").field("config", &self.terms.config).finish_non_exhaustive()
    }
}

impl Door for Rtmp {
    fn name(&self) -> &'static str {
        "rtmp"
    }

    fn open(&self, site: &mut Site) -> Result<(), SiteError> {
        let config = &self.terms.config;
        config.check()?;
        self.listen(site, "rtmp", &config.tcp)?;
        self.listen(site, "rtmps", &config.secure)
    }
}
