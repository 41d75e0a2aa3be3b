//! A slider's keys.

/// Where a slider goes from `now` (of `count` places): arrows one step, page keys eight, Home and End to the ends. `None` for another key.
pub fn slide(key: &str, now: usize, count: usize) -> Option<usize> {
    let last = count.checked_sub(1)?;
    Some(match key {
        "ArrowLeft" | "ArrowUp" => now.saturating_sub(1),
        "ArrowRight" | "ArrowDown" => (now + 1).min(last),
        "PageUp" => now.saturating_sub(8),
        "PageDown" => (now + 8).min(last),
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
        assert_eq!(slide("ArrowLeft", 0, 5), Some(0));
        assert_eq!(slide("ArrowRight", 4, 5), Some(4));
        assert_eq!(slide("PageDown", 1, 20), Some(9));
        assert_eq!(slide("PageUp", 3, 20), Some(0));
        assert_eq!(slide("End", 0, 20), Some(19));
        assert_eq!(slide("Tab", 0, 20), None);
        assert_eq!(slide("End", 0, 0), None);
    }
}
