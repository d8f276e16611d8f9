//! Live streaming over HTTP: the API, the watch page, webhooks.

mod page;
