//! Trunk's last step, on the folder that it is about to put in place: the corpus, names by content (and none of functions), the service worker, what
//! hosts are to send along.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::names::{Files, by_content};
use super::service_worker::Shell;
use super::{corpus, headers, wasm};
use crate::error::{Error, Result};
use crate::process::root;

/// The document.
pub const DOCUMENT: &str = "index.html";
/// The service worker.
pub const SERVICE_WORKER: &str = "sw.js";

/// What `trunk serve` puts into the document, to reload it after a build.
const RELOAD: &str = "reload.js";

/// Where the document's head ends.
const HEAD_END: &str = "</head>";

/// Does what Trunk.toml's hook asks for.
pub fn run() -> Result<()> {
    let folder = env::var_os("TRUNK_STAGING_DIR").map(PathBuf::from).ok_or_else(|| {
        Error::Usage("trunk calls this task while it builds the page: use `cargo xtask serve` or `dist`".into())
    })?;
    let corpus = corpus::find();
    match &corpus {
        Some(text) => write(&folder.join(corpus::name(text)), text)?,
        None => println!("note: this page has no corpus to learn from; `cargo xtask serve` and `dist` fetch it"),
    }
    let mut files = read_folder(&folder)?;
    for name in files.keys() {
        fs::remove_file(folder.join(name)).map_err(about(&folder.join(name)))?;
    }
    let served = take_reload_script(&mut files)?;
    if !served {
        announce_service_worker(&mut files)?;
    }
    if env::var_os("TRUNK_PROFILE").is_some_and(|profile| profile == "release") {
        remove_names(&mut files)?;
    }
    let files = by_content(files)?;
    for (name, content) in &files {
        write(&folder.join(name), content)?;
    }
    if !served {
        let mut shell = Shell::default();
        files.iter().for_each(|(name, content)| shell.add(name, content));
        if let Some(text) = &corpus {
            shell.add(&corpus::name(text), text);
        }
        let source = root().join("web").join(SERVICE_WORKER);
        let program = fs::read_to_string(&source).map_err(about(&source))?;
        write(&folder.join(SERVICE_WORKER), shell.program(&program).as_bytes())?;
        let names = files.keys().cloned().chain(corpus.as_deref().map(corpus::name));
        let text = headers::file(&document(&files)?, names)?;
        write(&folder.join(headers::FILE), text.as_bytes())?;
    }
    Ok(())
}

/// Makes a file of the script by which `trunk serve` reloads the page, since the Content-Security-Policy allows none in the document.
/// True if there is one, that is, if the page is not built to be kept.
fn take_reload_script(files: &mut Files) -> Result<bool> {
    let document = document(files)?;
    let Some((before, script, after)) = inline_script(&document) else { return Ok(false) };
    // What trunk would fill in when it serves the document.
    let script = script
        .replace("'{{__TRUNK_ADDRESS__}}'", "location.host")
        .replace("'{{__TRUNK_WS_BASE__}}'", "new URL('.', document.baseURI).pathname");
    let document = format!("{before}<script src=\"./{RELOAD}\"></script>{after}");
    files.insert(RELOAD.into(), script.into_bytes());
    files.insert(DOCUMENT.into(), document.into_bytes());
    Ok(true)
}

/// What is before, in and after the script that reloads.
fn inline_script(document: &str) -> Option<(&str, &str, &str)> {
    const OPEN: &str = "<script>";
    const CLOSE: &str = "</script>";
    let inside = document.find("{{__TRUNK_ADDRESS__}}")?;
    let start = document[..inside].rfind(OPEN)?;
    let end = inside + document[inside..].find(CLOSE)?;
    Some((&document[..start], &document[start + OPEN.len()..end], &document[end + CLOSE.len()..]))
}

/// Tells web/start.js that there is a service worker. A page under development has none: it would keep old builds.
fn announce_service_worker(files: &mut Files) -> Result<()> {
    let document = document(files)?;
    let meta = format!("<meta name=\"service-worker\" content=\"./{SERVICE_WORKER}\">\n{HEAD_END}");
    if !document.contains(HEAD_END) {
        return Err(Error::Disagreement(format!("{DOCUMENT} has no {HEAD_END}")));
    }
    files.insert(DOCUMENT.into(), document.replacen(HEAD_END, &meta, 1).into_bytes());
    Ok(())
}

fn remove_names(files: &mut Files) -> Result<()> {
    for (name, content) in files.iter_mut().filter(|(name, _)| name.ends_with(".wasm")) {
        *content = wasm::without_names(content).ok_or_else(|| {
            Error::Disagreement(format!("{name} is no WebAssembly module as the specification has it"))
        })?;
    }
    Ok(())
}

fn document(files: &Files) -> Result<String> {
    let bytes = files.get(DOCUMENT).cloned().unwrap_or_default();
    String::from_utf8(bytes).map_err(|_| Error::Disagreement(format!("{DOCUMENT} is not UTF-8")))
}

/// The folder's own files, without those in folders below: models and data keep their names.
pub fn read_folder(folder: &Path) -> Result<Files> {
    let mut files = Files::new();
    for entry in fs::read_dir(folder).map_err(about(folder))? {
        let path = entry.map_err(about(folder))?.path();
        if path.is_file() {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name == headers::FILE {
                continue;
            }
            files.insert(name, fs::read(&path).map_err(about(&path))?);
        }
    }
    Ok(files)
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).and_then(|()| fs::write(path, content)).map_err(about(path))
}

/// An error about a path.
pub fn about(path: &Path) -> impl Fn(io::Error) -> Error + use<> {
    let file = path.display().to_string();
    move |source| Error::File { file: file.clone(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(document: &str) -> Files {
        Files::from([(DOCUMENT.into(), document.into())])
    }

    #[test]
    fn the_reload_script_becomes_a_file() {
        let mut served =
            files("<p><script>const a = '{{__TRUNK_ADDRESS__}}'; const b = '{{__TRUNK_WS_BASE__}}';</script></p>");
        assert!(take_reload_script(&mut served).unwrap());
        assert_eq!(served[DOCUMENT], b"<p><script src=\"./reload.js\"></script></p>");
        let script = "const a = location.host; const b = new URL('.', document.baseURI).pathname;";
        assert_eq!(std::str::from_utf8(&served[RELOAD]).unwrap(), script);
        assert!(!take_reload_script(&mut files("<script src=\"./start.js\"></script>")).unwrap());
    }

    #[test]
    fn a_page_to_keep_names_its_service_worker() {
        let mut built = files("<head><title>t</title></head>");
        announce_service_worker(&mut built).unwrap();
        let document = "<head><title>t</title><meta name=\"service-worker\" content=\"./sw.js\">\n</head>";
        assert_eq!(std::str::from_utf8(&built[DOCUMENT]).unwrap(), document);
        assert!(announce_service_worker(&mut files("<p>")).is_err());
    }

    /// The Content-Security-Policy in its head would stop them.
    #[test]
    fn the_document_has_no_script_or_style_of_its_own() {
        let document = include_str!("../../../../index.html");
        assert!(document.contains("http-equiv=\"Content-Security-Policy\""));
        for (at, _) in document.match_indices("<script") {
            assert!(document[at..].starts_with("<script defer src="));
        }
        for attribute in ["<style", " style=", " onclick=", " onload=", "javascript:"] {
            assert!(!document.contains(attribute), "{attribute}");
        }
    }
}
