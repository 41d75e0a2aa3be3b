//! `cargo xtask dist`: the page as a folder that any static host can serve, at its root or below it: all addresses in it are relative.

use std::fs;
use std::path::{Path, PathBuf};

use super::finish::{DOCUMENT, SERVICE_WORKER, about, read_folder};
use super::names::says_content;
use super::service_worker::MARKER;
use super::{budgets, headers, prepare, trunk};
use crate::error::{Error, Result};
use crate::process::{self, root};

/// Where trunk leaves it (Trunk.toml).
const BUILT: &str = "target/dist";

/// What a page has besides files that are named by their content.
const OURS: [&str; 6] = [DOCUMENT, SERVICE_WORKER, headers::FILE, "manifest.webmanifest", "data", "models"];

/// Where to.
#[derive(clap::Args)]
pub struct Arguments {
    /// The folder to write; one of an earlier build is replaced
    #[arg(long, value_name = "DIR", default_value = "dist")]
    out: PathBuf,
    /// Build the page without its corpus if that cannot be fetched: it cannot learn characters or byte pairs then
    #[arg(long)]
    without_corpus: bool,
}

/// Builds, checks the sizes, writes.
pub fn run(arguments: &Arguments) -> Result<()> {
    // Of the caller's own folder, not of the workspace.
    let out = std::path::absolute(&arguments.out).map_err(about(&arguments.out))?;
    check_replaceable(&out)?;
    let built = build(arguments.without_corpus)?;
    replace(&built, &out)?;
    println!("the page is in {}: any static host can serve it", out.display());
    Ok(())
}

/// The page, within its budgets. Returns where it is.
pub fn build(without_corpus: bool) -> Result<PathBuf> {
    prepare(without_corpus)?;
    process::run(trunk("build")?.arg("--release"))?;
    let built = root().join(BUILT);
    budgets::check(&read_folder(&built)?)?;
    Ok(built)
}

/// Only an earlier page may be replaced, and nothing that somebody has put beside it: a folder named by mistake, a checkout, another's page.
fn check_replaceable(folder: &Path) -> Result<()> {
    let refused = |why: String| Err(Error::Usage(format!("{} {why}: choose another folder", folder.display())));
    if !folder.exists() || folder.read_dir().is_ok_and(|mut entries| entries.next().is_none()) {
        return Ok(());
    }
    let is_page = fs::read_to_string(folder.join(SERVICE_WORKER)).is_ok_and(|program| program.starts_with(MARKER));
    if !is_page || !folder.join(DOCUMENT).is_file() {
        return refused("holds something else than a page of `cargo xtask dist`".into());
    }
    for entry in folder.read_dir().map_err(about(folder))? {
        let name = entry.map_err(about(folder))?.file_name().to_string_lossy().into_owned();
        if !says_content(&name) && !OURS.contains(&name.as_str()) {
            return refused(format!("holds {name} beside the page"));
        }
    }
    Ok(())
}

/// Puts a page into a folder, in one step: whoever serves it never has half of one.
fn replace(built: &Path, out: &Path) -> Result<()> {
    let beside = |end: &str| {
        let mut name = out.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{end}-{}", std::process::id()));
        out.with_file_name(name)
    };
    let (new, old) = (beside("new"), beside("old"));
    copy(built, &new)?;
    let earlier = out.exists();
    if earlier {
        fs::rename(out, &old).map_err(about(out))?;
    }
    fs::rename(&new, out).map_err(about(out))?;
    if earlier { fs::remove_dir_all(&old).map_err(about(&old)) } else { Ok(()) }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).map_err(about(to))?;
    for entry in fs::read_dir(from).map_err(about(from))? {
        let path = entry.map_err(about(from))?.path();
        let target = to.join(path.file_name().expect("an entry of a folder has a name"));
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            fs::copy(&path, &target).map_err(about(&target))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own, away at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str, files: &[(&str, &str)]) -> Self {
            let folder = std::env::temp_dir().join(format!("inkling-dist-{}-{name}", std::process::id()));
            for (name, content) in files {
                let path = folder.join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
            Self(folder)
        }

        fn has(&self, name: &str) -> bool {
            self.0.join(name).exists()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const PAGE: [(&str, &str); 4] = [
        ("index.html", "<p>"),
        ("sw.js", "// The service worker of an Inkling page.\nconst VERSION = '0';"),
        ("page-0123456789abcdef.js", ""),
        ("models/shakespeare/config.json", "{}"),
    ];

    fn with(more: (&'static str, &'static str)) -> Vec<(&'static str, &'static str)> {
        PAGE.into_iter().chain([more]).collect()
    }

    #[test]
    fn a_folder_that_is_no_page_is_never_replaced() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        check_replaceable(&here.join("nowhere")).unwrap();
        let message = check_replaceable(here).unwrap_err().to_string();
        assert!(message.contains("holds something else than a page"), "{message}");
        assert!(check_replaceable(&here.join("Cargo.toml")).is_err());
        // Another's page, which has a service worker, too.
        let other = Folder::new("other", &[("index.html", "<p>"), ("sw.js", "addEventListener('fetch', answer)")]);
        assert!(check_replaceable(&other.0).is_err());
    }

    #[test]
    fn what_lies_beside_a_page_is_never_deleted() {
        check_replaceable(&Folder::new("page", &PAGE).0).unwrap();
        for (n, more) in [(".git/HEAD", "ref"), ("CNAME", "example.org"), ("notes.txt", "")].into_iter().enumerate() {
            let folder = Folder::new(&format!("beside-{n}"), &with(more));
            let message = check_replaceable(&folder.0).unwrap_err().to_string();
            assert!(message.contains("beside the page"), "{message}");
        }
    }

    #[test]
    fn a_page_takes_an_earlier_ones_place_as_a_whole() {
        let built = Folder::new("built", &PAGE);
        let out = Folder::new("out", &[("index.html", "old"), ("page-fedcba9876543210.js", "")]);
        replace(&built.0, &out.0).unwrap();
        assert!(out.has("models/shakespeare/config.json") && !out.has("page-fedcba9876543210.js"));
        assert_eq!(fs::read_to_string(out.0.join("index.html")).unwrap(), "<p>");
        assert!(built.has("index.html"));
        let new = Folder(out.0.with_extension("fresh"));
        replace(&built.0, &new.0).unwrap();
        assert!(new.has("sw.js"));
    }
}
