//! How a test wants its browser.

use super::{Page, Server, dist};

/// Light or dark, as the visitor's system has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Theme {
    /// As CSS and file names have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// What can be chosen before a browser starts.
#[derive(Clone, Debug)]
pub struct Setup {
    pub(super) arguments: Vec<String>,
    pub(super) base: String,
    pub(super) alone: bool,
    /// Parts of messages that may be on the console.
    pub(super) expected: Vec<&'static str>,
}

impl Default for Setup {
    fn default() -> Self {
        let mut arguments = vec!["--headless=new", "--hide-scrollbars", "--disable-extensions", "--no-first-run"];
        // What a browser does on its own would disturb what is measured, and might leave the machine.
        arguments.extend(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
        // The sandbox does not start as root, which is what a container's user is.
        arguments.extend(["--no-sandbox", "--disable-dev-shm-usage"]);
        // An adapter in software; a page that wants a real one sees that it is none.
        arguments.extend(["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--disable-gpu-sandbox"]);
        Self {
            arguments: arguments.into_iter().map(Into::into).collect(),
            base: "/".into(),
            alone: false,
            expected: Vec::new(),
        }
    }
}

impl Setup {
    /// One more argument for Chromium.
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// The page lies in this folder of its host: `/some/folder/`.
    pub fn below(mut self, base: &str) -> Self {
        self.base = base.to_owned();
        self
    }

    /// No other browser runs meanwhile.
    pub fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// A warning or error with this in it may be on the console.
    pub fn expect_message(mut self, part: &'static str) -> Self {
        self.expected.push(part);
        self
    }

    /// Starts browser and server.
    #[track_caller]
    pub fn start(self) -> Page {
        let server = Server::start(dist(), &self.base, &[]);
        Page::start(self, server)
    }
}
