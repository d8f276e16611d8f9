//! skeleton
use bytes::Bytes;
use std::time::Duration;

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address is no `https:` URL, nor an `http:` one of this machine.
    #[error("'{0}' is no https address")]
    BadUrl(String),
    /// It took too long.
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// The server answered, and not with 200.
    #[error("the server answered {0}")]
    Status(u16),
    /// The body is larger than allowed.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    /// The network or TLS failed.
    #[error("{0}")]
    Failed(String),
}

/// Fetches `url` with GET: at most `bytes_max` bytes, within `within`.
///
/// # Errors
/// See [`FetchError`].
pub async fn fetch(_url: &str, _bytes_max: usize, _within: Duration) -> Result<Bytes, FetchError> {
    todo!()
}
