//! The MQTT door's traces and bridges, as the admin API takes them.

use std::{sync::Arc, time::Duration};

use yizhan_mqtt::Traces;
use yizhan_talk::Now;

/// Clients of the MQTT door that can be followed.
pub(crate) struct Follow(pub(crate) Arc<Traces>);

impl yizhan_admin::Traces for Follow {
    fn start(&self, now: Now, client: &str, time: Duration) -> Result<String, String> {
        self.0.start(now, client, time).map_err(|error| error.to_string())?;
        Ok(Traces::topic(client).map(|topic| topic.as_str().to_owned()).unwrap_or_default())
    }

    fn stop(&self, client: &str) {
        // One that is over is as good.
        self.0.stop(client);
    }

    fn clients(&self) -> Vec<String> {
        self.0.clients().into_iter().map(String::from).collect()
    }
}

/// A bridge, as the admin API shows it.
pub(crate) fn bridge(view: yizhan_mqtt::bridge::View) -> yizhan_admin::Bridge {
    yizhan_admin::Bridge {
        name: view.name,
        address: view.address,
        connected_at: view.connected_since.map(yizhan_talk::Timestamp::as_millis),
        last_error: view.last_error,
        failures: view.failures,
        waiting: view.waiting,
        sent: view.sent,
        received: view.received,
        dropped: view.dropped,
        missed: view.missed,
    }
}
