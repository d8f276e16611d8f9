//! Where the door attaches: TCP, TLS and WebSocket.

use std::sync::Arc;

use yizhan_hub::{Content, Hub, Link};
use yizhan_net::{Door, Kind, Site, SiteError, Stream, Subprotocol, drive};

use crate::{
    Terms, certificate,
    connection::{Carrier, Connection},
};

/// MQTT over WebSocket (MQTT 5 §6), and what clients of MQTT 3.1 call it.
const SUBPROTOCOLS: &[Subprotocol] =
    &[Subprotocol { name: "mqtt", kind: Kind::Binary }, Subprotocol { name: "mqttv3.1", kind: Kind::Binary }];
/// Where MQTT over WebSocket is spoken.
const PATH: &str = "/mqtt";

/// The door of MQTT. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Mqtt {
    hub: Hub,
    terms: Arc<Terms>,
}

impl Mqtt {
    /// A door to this hub.
    #[must_use]
    pub fn new(hub: Hub, terms: Arc<Terms>) -> Self {
        Self { hub, terms }
    }

    /// Ends traces whose time is over; the server calls this about once a second.
    pub fn maintain(&self) {
        self.terms.traces.maintain(self.hub.now());
    }

    /// A connection and its link for a client that just came in.
    fn accept(
        &self,
        peer: &yizhan_net::Peer,
        door: &'static str,
        carrier: Carrier,
    ) -> (Connection<Link>, Link) {
        let user = peer.certificate.as_ref().and_then(|certificate| {
            certificate::user_of(&certificate.der, self.terms.config.certificate_user)
        });
        let link = self.hub.link(yizhan_hub::Peer { address: peer.address.ip(), door, secure: peer.secure });
        let terms = match carrier {
            Carrier::Stream => &self.terms,
            Carrier::Messages => self.terms.messages(),
        };
        (Connection::new(self.hub.now(), terms.clone(), carrier, user), link)
    }

    fn listen(&self, site: &mut Site, door: &'static str, at: &yizhan_net::Listen) -> Result<(), SiteError> {
        let mqtt = self.clone();
        site.tcp(door, at, move |stream: Stream| {
            let (connection, link) = mqtt.accept(stream.peer(), door, Carrier::Stream);
            let line = stream.line().clone();
            Box::pin(drive(stream, connection, link, line))
        })
    }
}

impl std::fmt::Debug for Mqtt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mqtt").field("config", &self.terms.config).finish_non_exhaustive()
    }
}

impl Door for Mqtt {
    fn name(&self) -> &'static str {
        "mqtt"
    }

    fn open(&self, site: &mut Site) -> Result<(), SiteError> {
        let config = &self.terms.config;
        self.listen(site, "mqtt", &config.tcp)?;
        self.listen(site, "mqtts", &config.secure)?;
        if config.websocket {
            let mqtt = self.clone();
            #[allow(clippy::result_large_err, reason = "the site's own type: refusing is a response")]
            site.websocket("mqtt-ws", PATH, SUBPROTOCOLS, move |upgrade| {
                Ok(mqtt.accept(upgrade.peer(), "mqtt-ws", Carrier::Messages))
            });
        }
        let hub = self.hub.clone();
        site.task(
            "mqtt traces",
            self.terms.traces.clone().run(move |topic, line| {
                hub.announce(topic, None, Content::Json, line);
            }),
        );
        Ok(())
    }
}
