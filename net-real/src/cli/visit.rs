//! What `diff` and `hls-check` have in common: they visit servers of the web, and say so if nothing can be said.

use std::process::ExitCode;

use headwater_net_real::probe::web::Web;
use tokio::runtime::Builder;
use url::Url;

use super::USAGE;

/// Nothing can be said.
pub(super) const COULD_NOT_TELL: u8 = USAGE;

/// Reads the URL of a playlist; the error is a sentence that says what to write.
pub(super) fn playlist_url(text: &str) -> Result<Url, String> {
    let url =
        Url::parse(text).map_err(|error| format!("{error}; write http://host:port/app/stream/llhls.m3u8"))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(format!("playlists are read over http:// and https://, not {other}://")),
    }
}

/// Lets `visit` go to servers, trusting the certificates of the file `cacert` if there is one. An error was told.
pub(super) fn visit<T>(cacert: Option<&str>, visit: impl AsyncFnOnce(Web) -> T) -> Result<T, ExitCode> {
    let told = |error: &dyn std::fmt::Display| {
        eprintln!("headwater: {error}");
        ExitCode::from(COULD_NOT_TELL)
    };
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| told(&error))?;
    let web = Web::new(cacert).map_err(|error| told(&error))?;
    let found = runtime.block_on(visit(web));
    // A name that is being resolved is not waited for.
    runtime.shutdown_background();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_web_has_playlists() {
        assert!(playlist_url("https://cdn.example/app/stream/llhls.m3u8?token=1").is_ok());
        for (text, says) in
            [("ftp://host/x.m3u8", "not ftp://"), ("host/x.m3u8", "write http://"), ("", "write http://")]
        {
            let error = playlist_url(text).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
