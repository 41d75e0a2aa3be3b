//! A slider's keys, as WAI-ARIA's pattern has them: right and up are more.

/// Where a slider goes from `now` (of `count` places): arrows one step, page keys eight, Home and End to the ends. `None` for another key.
pub fn slide(key: &str, now: usize, count: usize) -> Option<usize> {
    let last = count.checked_sub(1)?;
    Some(match key {
        "ArrowLeft" | "ArrowDown" => now.saturating_sub(1),
        "ArrowRight" | "ArrowUp" => (now + 1).min(last),
        "PageDown" => now.saturating_sub(8),
        "PageUp" => (now + 8).min(last),
        "Home" => 0,
        "End" => last,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sliders_stay_within_their_ends() {
        for (key, now, to) in [
            ("ArrowLeft", 0, 0),
            ("ArrowUp", 3, 4),
            ("ArrowRight", 19, 19),
            ("PageUp", 1, 9),
            ("PageDown", 3, 0),
            ("End", 0, 19),
        ] {
            assert_eq!(slide(key, now, 20), Some(to), "{key}");
        }
        assert_eq!(slide("Tab", 0, 20), None);
        assert_eq!(slide("End", 0, 0), None);
    }
}
