//! Where the door attaches: the questions, their document, the watch page, and the webhooks' tasks.

use bytes::Bytes;
use http::StatusCode;
use yizhan_hub::Hub;
use yizhan_media::service::Live;
use yizhan_net::{Door, Route, Site, SiteError, reply};

use crate::{ask::ask, hooks::Hooks, openapi, page};

/// Live streaming over HTTP, but for the streams themselves.
#[derive(Debug)]
pub struct LiveDoor {
    hub: Hub,
    hooks: Hooks,
    document: Bytes,
}

impl LiveDoor {
    /// A door over this hub. `version` is the server's, for the document.
    #[must_use]
    pub fn new(hub: Hub, hooks: Hooks, version: &str) -> Self {
        let document = openapi::document(&Live::operations(), version).to_string().into();
        Self { hub, hooks, document }
    }
}

impl Door for LiveDoor {
    fn name(&self) -> &'static str {
        "live"
    }

    fn open(&self, site: &mut Site) -> Result<(), SiteError> {
        let hub = self.hub.clone();
        site.http(Route::post("/live/v1/{*op}"), move |request| Box::pin(ask(hub.clone(), request)));
        let document = self.document.clone();
        site.http(Route::get("/live/v1/openapi.json"), move |_| {
            Box::pin(std::future::ready(reply::json(StatusCode::OK, document.clone())))
        });
        page::open(site);
        self.hooks.open(site);
        Ok(())
    }
}
