//! The network, the browser's cache and the visitor's files.

use std::rc::Rc;

use js_sys::{Function, Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    AbortController, Blob, Cache, CacheStorage, DedicatedWorkerGlobalScope, ReadableStreamDefaultReader, Request,
    RequestCache, RequestCredentials, RequestInit, Response, Url,
};

use super::server::{Caching, Refusal, Server};

/// The cache's name.
const CACHE: &str = "inkling-models";

/// The network, for one download.
#[derive(Clone)]
pub struct Network(Rc<AbortController>);

fn scope() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// What an exception says.
fn message(problem: &JsValue) -> String {
    problem.dyn_ref::<js_sys::Error>().map_or_else(|| "no reason given".into(), |error| error.message().into())
}

fn unreachable(problem: JsValue) -> Refusal {
    Refusal::Unreachable(message(&problem))
}

impl Network {
    /// Nothing under way yet.
    pub fn new() -> Self {
        Self(Rc::new(AbortController::new().expect("every browser with workers has it")))
    }

    /// Ends what is under way.
    pub fn abort(&self) {
        self.0.abort();
    }

    async fn body(&self, response: &Response, most: u64, heard: &dyn Fn(u64, Option<u64>)) -> Result<Vec<u8>, Refusal> {
        // Only a hint of how much is to come: what was compressed on the way has the length of what was sent, and another host's answer does not
        // let the page see that it was. Whether all of it came, the browser checks.
        let header = |name| response.headers().get(name).ok().flatten();
        let total = header("content-length").filter(|_| header("content-encoding").is_none());
        let total = total.and_then(|length| length.parse::<u64>().ok());
        if let Some(bytes) = total.filter(|&total| total > most) {
            // Only this one: other files of the folder are on their way.
            let _ = response.body().map(|body| body.cancel());
            return Err(Refusal::TooLarge { bytes, most });
        }
        heard(0, total);
        let mut bytes = Vec::new();
        let too_large = |bytes: usize| Refusal::TooLarge { bytes: bytes as u64, most };
        bytes.try_reserve_exact(total.unwrap_or(0) as usize).map_err(|_| too_large(total.unwrap_or(0) as usize))?;
        let Some(body) = response.body() else { return Ok(bytes) };
        let reader: ReadableStreamDefaultReader = body.get_reader().unchecked_into();
        let mut told = js_sys::Date::now();
        loop {
            let piece = JsFuture::from(reader.read()).await.map_err(unreachable)?;
            if Reflect::get(&piece, &"done".into()).is_ok_and(|done| done.is_truthy()) {
                break;
            }
            let piece: Uint8Array = Reflect::get(&piece, &"value".into()).map_err(unreachable)?.unchecked_into();
            let (start, length) = (bytes.len(), piece.length() as usize);
            if (start + length) as u64 > most {
                let _ = reader.cancel();
                return Err(too_large(start + length));
            }
            bytes.try_reserve(length).map_err(|_| too_large(start + length))?;
            bytes.resize(start + length, 0);
            piece.copy_to(&mut bytes[start..]);
            // Ten times a second is as often as it is drawn.
            let now = js_sys::Date::now();
            if now - told > 100.0 {
                told = now;
                heard(bytes.len() as u64, total.filter(|&total| total >= bytes.len() as u64));
            }
        }
        heard(bytes.len() as u64, Some(bytes.len() as u64));
        Ok(bytes)
    }
}

impl Server for Network {
    async fn get(
        &self,
        address: &str,
        caching: Caching,
        most: u64,
        heard: &dyn Fn(u64, Option<u64>),
    ) -> Result<Vec<u8>, Refusal> {
        let options = RequestInit::new();
        options.set_signal(Some(&self.0.signal()));
        options.set_credentials(RequestCredentials::SameOrigin);
        options.set_cache(match caching {
            Caching::Usual => RequestCache::Default,
            Caching::Confirmed => RequestCache::NoCache,
            Caching::Never => RequestCache::Reload,
        });
        let answer = JsFuture::from(scope().fetch_with_str_and_init(address, &options)).await;
        let response: Response = answer.map_err(unreachable)?.unchecked_into();
        match response.status() {
            200..300 => self.body(&response, most, heard).await,
            404 | 410 => Err(Refusal::Missing),
            status => Err(Refusal::Status(status)),
        }
    }

    fn is_ours(&self, address: &str) -> bool {
        let here = scope().location();
        Url::new_with_base(address, &here.href()).is_ok_and(|url| url.origin() == here.origin())
    }

    async fn pause(&self, milliseconds: u32) -> bool {
        let online = || scope().navigator().on_line();
        if online() {
            let pause = Promise::new(&mut |resolve: Function, _| {
                // Fails never: the function is one.
                let _ = scope().set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, milliseconds as i32);
            });
            let _ = JsFuture::from(pause).await;
        }
        online()
    }

    async fn kept(&self, key: &str) -> Option<Vec<u8>> {
        let found = JsFuture::from(cache().await?.match_with_str(key)).await.ok()?;
        let response: Response = found.dyn_into().ok()?;
        let buffer = JsFuture::from(response.array_buffer().ok()?).await.ok()?;
        Some(Uint8Array::new(&buffer).to_vec())
    }

    async fn keep(&self, key: &str, bytes: &[u8]) {
        let Some(cache) = cache().await else { return };
        let Ok(response) = Response::new_with_opt_js_u8_array(Some(&Uint8Array::from(bytes))) else { return };
        // A full disk, say: the next visit downloads again.
        let _ = JsFuture::from(cache.put_with_str(key, &response)).await;
        forget_older(&cache, key).await;
    }
}

/// The browser's cache; there is none on an insecure page, and in some browsers' private windows.
async fn cache() -> Option<Cache> {
    let caches = Reflect::get(&js_sys::global(), &"caches".into()).ok().filter(JsValue::is_object)?;
    let opened = caches.unchecked_into::<CacheStorage>().open(CACHE);
    JsFuture::from(opened).await.ok().map(JsCast::unchecked_into)
}

/// Drops what was kept under the same address with another checksum.
async fn forget_older(cache: &Cache, key: &str) {
    // As the cache has it: absolute, since another copy of the page may live on the same host.
    let Ok(new) = Request::new_with_str(key).map(|request| request.url()) else { return };
    let Some((address, _)) = new.split_once('?') else { return };
    let Ok(keys) = JsFuture::from(cache.keys()).await else { return };
    for request in js_sys::Array::from(&keys) {
        let request: Request = request.unchecked_into();
        let url = request.url();
        if url != new && url.split_once('?').is_some_and(|(kept, _)| kept == address) {
            let _ = JsFuture::from(cache.delete_with_request(&request)).await;
        }
    }
}

/// Reads a file of the visitor's.
///
/// # Errors
/// What the browser says.
pub async fn read(file: &JsValue) -> Result<Vec<u8>, String> {
    let file: &Blob = file.dyn_ref().ok_or("it is no file")?;
    let buffer = JsFuture::from(file.array_buffer()).await.map_err(|problem| message(&problem))?;
    let array = Uint8Array::new(&buffer);
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(array.length() as usize).map_err(|_| "it is too large")?;
    bytes.resize(array.length() as usize, 0);
    array.copy_to(&mut bytes);
    Ok(bytes)
}
