//! Times as Heroku prints them: `2026/08/01 12:00:00 +0000 (~ 2m ago)`.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// An RFC 3339 time of the API in the user's zone, with how long ago it was. What is no time stays as it is.
pub fn since(text: &str) -> String {
    let Ok(time) = text.parse::<Timestamp>() else {
        return text.to_owned();
    };
    written(time, Timestamp::now(), TimeZone::system())
}

fn written(time: Timestamp, now: Timestamp, zone: TimeZone) -> String {
    let seconds = now.as_second().saturating_sub(time.as_second()).max(0);
    let ago = match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    };
    let local = time
        .to_zoned_datetime(zone)
        .strftime("%Y/%m/%d %H:%M:%S %z");
    // Heroku leaves out an age in days: the date says it.
    if seconds < 86_400 {
        format!("{local} (~ {ago} ago)")
    } else {
        local.to_string()
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::written;

    #[test]
    fn ages_are_in_the_largest_whole_unit() {
        let ago = |time: &str| {
            let (time, now) = (
                time.parse().unwrap(),
                "2026-08-01T12:00:00Z".parse().unwrap(),
            );
            written(time, now, TimeZone::UTC)
        };
        assert_eq!(
            ago("2026-08-01T11:59:41Z"),
            "2026/08/01 11:59:41 +0000 (~ 19s ago)"
        );
        assert_eq!(
            ago("2026-08-01T11:57:59Z"),
            "2026/08/01 11:57:59 +0000 (~ 2m ago)"
        );
        assert_eq!(
            ago("2026-08-01T02:00:00Z"),
            "2026/08/01 02:00:00 +0000 (~ 10h ago)"
        );
        assert_eq!(ago("2026-07-01T12:00:00Z"), "2026/07/01 12:00:00 +0000");
        assert_eq!(
            ago("2026-08-01T12:00:05Z"),
            "2026/08/01 12:00:05 +0000 (~ 0s ago)"
        );
    }
}
