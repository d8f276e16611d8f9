//! The MQTT door's traces, as the admin API takes them.

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
