//! The page for everyone: what axe-core finds, the keyboard alone, sizes of targets, motion.

use std::env;
use std::fs;

use serde_json::{Value, json};

use crate::harness::{Page, Theme, root};

/// WCAG 2.2 at levels A and AA, and what axe-core knows beyond it.
const RULES: [&str; 6] = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/// What axe-core finds: each rule that is broken, how often, and where first.
fn violations(page: &Page) -> Vec<String> {
    let file = env::var_os("INKLING_AXE").unwrap_or_else(|| "target/tools/axe/node_modules/axe-core/axe.min.js".into());
    let file = root().join(file);
    let program = fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; `cargo xtask setup` fetches it", file.display()));
    // A function's own scope would hide it.
    page.js::<Value>(&format!("{program}\nwindow.axe = axe;"), []);
    let found: Vec<Value> = page.js(
        "const options = { runOnly: { type: 'tag', values: arguments[0] }, resultTypes: ['violations'] };
         return axe.run(document, options).then(found => found.violations.map(({ id, nodes }) =>
             [id, nodes.length, nodes[0].target.join(' '), nodes[0].failureSummary, nodes[0].html]))",
        [json!(RULES)],
    );
    found.iter().map(ToString::to_string).collect()
}

/// What axe-core finds in the page as it is now.
#[track_caller]
pub fn assert_accessible(page: &Page, what: &str) {
    let found = violations(page);
    assert!(found.is_empty(), "{what}: {}", found.join("\n"));
}

fn is_accessible(theme: Theme, width: u32) {
    let page = Page::new();
    page.size(width, 900);
    page.emulate(theme);
    page.open("");
    page.ready();
    // What waits until it is looked at, and an answer that is there once somebody guessed.
    page.scroll_to("#scale-figure");
    page.until_shown("#scale-sample");
    page.scroll_to("#modern-figure");
    page.until_shown(".modern-card");
    page.click(".modern-card .modern-guess button");
    // What the navigation happens to cover is no target for axe.
    page.js::<Value>("scrollTo({ top: 0, behavior: 'instant' })", []);
    let closed = violations(&page);
    assert!(closed.is_empty(), "{}", closed.join("\n"));
    page.js::<Value>("for (const details of document.querySelectorAll('details')) details.open = true", []);
    let open = violations(&page);
    assert!(open.is_empty(), "with details open:\n{}", open.join("\n"));
}

#[test]
fn axe_finds_nothing_in_light() {
    is_accessible(Theme::Light, 1440);
}

#[test]
fn axe_finds_nothing_in_dark() {
    is_accessible(Theme::Dark, 1440);
}

#[test]
fn axe_finds_nothing_in_light_on_a_phone() {
    is_accessible(Theme::Light, 360);
}

#[test]
fn axe_finds_nothing_in_dark_on_a_phone() {
    is_accessible(Theme::Dark, 360);
}

/// Where the focus is, and whether one sees it.
#[derive(serde::Deserialize, Debug)]
struct Stop {
    section: Option<String>,
    what: String,
    seen: bool,
    in_window: bool,
}

// A hidden input has its ring around the label after it, a part of a drawing around a shape in it.
const FOCUS: &str = "
    const e = document.activeElement;
    if (e === document.body) return null;
    const around = [e, e.nextElementSibling, ...e.querySelectorAll('*')].filter(Boolean);
    const ring = around.find(each => {
        const style = getComputedStyle(each);
        return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2
            || each instanceof SVGElement && style.stroke !== 'none' && parseFloat(style.strokeWidth) >= 3;
    });
    const r = (ring ?? e).getBoundingClientRect();
    return {
        section: e.closest('section[id]')?.id ?? null,
        what: e.outerHTML.slice(0, 120),
        seen: ring !== undefined,
        in_window: r.bottom > 0 && r.top < innerHeight && r.right > 0 && r.left < innerWidth,
    }";

#[test]
fn the_keyboard_reaches_every_figure_in_order_and_shows_where_it_is() {
    let page = Page::opened("");
    let mut reached: Vec<String> = Vec::new();
    for _ in 0..600 {
        page.press("Tab");
        let Some(stop) = page.js::<Option<Stop>>(FOCUS, []) else { break };
        assert!(stop.seen, "no ring around {}", stop.what);
        assert!(stop.in_window, "out of sight: {}", stop.what);
        if let Some(section) = stop.section
            && reached.last() != Some(&section)
        {
            assert!(!reached.contains(&section), "back in #{section} after #{}", reached.join(", #"));
            reached.push(section);
        }
    }
    let with_controls: Vec<String> = page.js(
        "return [...document.querySelectorAll('section[id]')].filter(section =>
             section.querySelector('button, input, select, textarea, summary, a[href], [tabindex=\"0\"]')).map(s => s.id)",
        [],
    );
    assert_eq!(reached, with_controls);
}

const SMALL_TARGETS: &str = "
    const least = arguments[0];
    const controls = 'button, .button, select, input, textarea, summary, nav a, .brand a, [role=slider], [role=tab], [role=radio]';
    return [...document.querySelectorAll(controls)].filter(e => e.checkVisibility({ visibilityProperty: true })).filter(e => {
        const rects = [e, ...(e.labels ?? [])].map(e => e.getBoundingClientRect()).filter(r => r.width > 1);
        const width = Math.max(...rects.map(r => r.width)), height = Math.max(...rects.map(r => r.height));
        return rects.length && (width < least - .5 || height < least - .5);
    }).map(e => e.outerHTML.slice(0, 160))";

#[test]
fn targets_are_large_enough_to_hit() {
    let page = Page::opened("");
    for width in [1440, 360] {
        page.size(width, 800);
        let small: Vec<String> = page.js(SMALL_TARGETS, [json!(24)]);
        assert!(small.is_empty(), "at {width} pixels:\n{}", small.join("\n"));
    }
}

#[test]
fn nothing_moves_for_who_wants_that() {
    let page = Page::new();
    page.reduce_motion();
    page.open("");
    page.ready();
    let moving: Vec<String> = page.js(
        "const seconds = list => Math.max(...list.split(',').map(parseFloat));
         return [...document.querySelectorAll('*')].filter(e => {
             const style = getComputedStyle(e);
             return seconds(style.transitionDuration) > 0 || style.animationName !== 'none' || style.scrollBehavior === 'smooth';
         }).map(e => e.outerHTML.slice(0, 120))",
        [],
    );
    assert!(moving.is_empty(), "{}", moving.join("\n"));
}
