//! Patterns of `static.json`: `*` for part of one segment, `**` for anything.

use super::limits::{PATTERN_BYTES_MAX, PATTERN_STARS_MAX};

/// A checked pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// Any run of characters without a slash, none among them.
    Star,
    /// Any run of characters.
    DoubleStar,
}

impl Pattern {
    /// Reads a pattern; a slash first is implied.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(format!(
                "a pattern of {} bytes; at most {PATTERN_BYTES_MAX} are allowed",
                text.len()
            ));
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        if !text.starts_with('/') {
            literal.push('/');
        }
        let mut rest = text;
        while let Some(at) = rest.find('*') {
            literal.push_str(&rest[..at]);
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            let stars = rest[at..].bytes().take_while(|byte| *byte == b'*').count();
            parts.push(if stars == 1 {
                Part::Star
            } else {
                Part::DoubleStar
            });
            rest = &rest[at + stars..];
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        let stars = parts
            .iter()
            .filter(|part| !matches!(part, Part::Text(_)))
            .count();
        if stars > PATTERN_STARS_MAX {
            return Err(format!(
                "the pattern {text:?} has {stars} stars; at most {PATTERN_STARS_MAX} are allowed"
            ));
        }
        Ok(Self { parts })
    }

    /// Whether all of `path` fits.
    ///
    /// On a mismatch the star seen last takes one character more; when it may not (a slash), the last double
    /// star does. No earlier star needs another try: what it took was the least, and all after it can grow.
    pub(super) fn matches(&self, path: &str) -> bool {
        let (mut part, mut at) = (0, 0);
        let (mut star, mut double) = (None, None);
        loop {
            match self.parts.get(part) {
                None if at == path.len() => return true,
                Some(Part::Text(text)) if path[at..].starts_with(text.as_str()) => {
                    at += text.len();
                    part += 1;
                    continue;
                }
                Some(Part::Star) => {
                    part += 1;
                    star = Some((part, at));
                    continue;
                }
                Some(Part::DoubleStar) => {
                    part += 1;
                    double = Some((part, at));
                    star = None;
                    continue;
                }
                _ => {}
            }
            let next = |(part, at): (usize, usize)| {
                let length = path[at..].chars().next()?.len_utf8();
                Some((part, at + length))
            };
            if let Some(again) = star
                .filter(|(_, at)| !path[*at..].starts_with('/'))
                .and_then(next)
            {
                star = Some(again);
                (part, at) = again;
            } else if let Some(again) = double.and_then(next) {
                double = Some(again);
                star = None;
                (part, at) = again;
            } else {
                return false;
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn fits(pattern: &str, path: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(path)
    }

    #[test]
    fn a_star_stays_in_its_segment_and_two_do_not() {
        for (pattern, yes, no) in [
            ("/", &["/"][..], &["/a", ""][..]),
            (
                "/*.html",
                &["/baz.html", "/.html"],
                &["/bar/baz.html", "/baz.htm"],
            ),
            (
                "/route/**",
                &["/route/foo", "/route/foo/bar/baz.html", "/route/"],
                &["/route", "/routes/x"],
            ),
            ("/**", &["/", "/a", "/a/b/"], &[]),
            (
                "/**/*.js",
                &["/a/b.js", "/a/b/c.js"],
                &["/b.js", "/a/b.jsx"],
            ),
            (
                "assets/*",
                &["/assets/a", "/assets/"],
                &["/assets/a/b", "/assets"],
            ),
            ("/*/x/*/y", &["/a/x/b/y"], &["/a/x/b/c/y", "/a/b/x/c/y"]),
            (
                "/**a*b**c",
                &["/xaxbxc", "/abc", "/a/aab/c"],
                &["/xa/bc", "/ab"],
            ),
            ("/ä*", &["/äö"], &["/a"]),
        ] {
            for path in yes {
                assert!(fits(pattern, path), "{pattern} {path}");
            }
            for path in no {
                assert!(!fits(pattern, path), "{pattern} {path}");
            }
        }
    }

    #[test]
    fn matching_the_worst_pattern_against_the_longest_path_is_quick() {
        let pattern = Pattern::parse(&format!("/{}z", "**a".repeat(PATTERN_STARS_MAX))).unwrap();
        let path = format!("/{}", "a".repeat(super::super::limits::PATH_BYTES_MAX - 1));
        let started = std::time::Instant::now();
        assert!(!pattern.matches(&path));
        assert!(
            started.elapsed() < std::time::Duration::from_secs(1),
            "{:?}",
            started.elapsed()
        );
    }

    #[test]
    fn patterns_over_the_limits_are_refused() {
        assert!(Pattern::parse(&"*a".repeat(PATTERN_STARS_MAX)).is_ok());
        assert!(Pattern::parse(&"*a".repeat(PATTERN_STARS_MAX + 1)).is_err());
        assert!(Pattern::parse(&"a".repeat(PATTERN_BYTES_MAX)).is_ok());
        assert!(Pattern::parse(&"a".repeat(PATTERN_BYTES_MAX + 1)).is_err());
    }
}
