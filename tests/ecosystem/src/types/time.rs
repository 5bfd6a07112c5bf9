//! Dates, times, and durations.

use crate::row::Trial;
use crate::same::{debug, eq};

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    {
        use chrono::{
            DateTime, FixedOffset, Month, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc, Weekday,
        };
        let moment = || DateTime::from_timestamp(1_732_600_000, 123_456_789).unwrap();
        rows! { trials, "chrono":
            date_time_utc: [DateTime<Utc>] eq => [
                moment(),
                DateTime::from_timestamp(-1, 0).unwrap(),
                DateTime::<Utc>::MAX_UTC,
            ];
            date_time_fixed_offset: [DateTime<FixedOffset>] eq => [
                moment().with_timezone(&FixedOffset::east_opt(5 * 3600 + 1800).unwrap()),
            ];
            naive_date: [NaiveDate] eq => [NaiveDate::from_ymd_opt(2024, 2, 29).unwrap()];
            naive_time: [NaiveTime] eq => [
                NaiveTime::from_hms_nano_opt(23, 59, 59, 1_999_999_999).unwrap(),
            ];
            naive_date_time: [NaiveDateTime] eq => [moment().naive_utc()];
            time_delta: [TimeDelta] eq => [TimeDelta::milliseconds(-1500), TimeDelta::zero()];
            weekday: [Weekday] eq => [Weekday::Mon, Weekday::Sun];
            month: [Month] eq => [Month::January, Month::December];
        }
    }
    {
        use time::{Date, Duration, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset, Weekday};
        let moment = || OffsetDateTime::from_unix_timestamp_nanos(1_732_600_000_123_456_789).unwrap();
        rows! { trials, "time":
            date: [Date] eq => [
                Date::from_calendar_date(2024, Month::February, 29).unwrap(),
                Date::MIN,
            ];
            time: [Time] eq => [Time::from_hms_nano(23, 59, 59, 999_999_999).unwrap()];
            duration: [Duration] eq => [Duration::milliseconds(-1500), Duration::ZERO];
            utc_offset: [UtcOffset] eq => [UtcOffset::from_hms(5, 30, 15).unwrap()];
            weekday: [Weekday] eq => [Weekday::Monday, Weekday::Sunday];
            month: [Month] eq => [Month::January, Month::December];
            offset_date_time: [OffsetDateTime] eq => [
                moment(),
                moment().to_offset(UtcOffset::from_hms(-3, -30, 0).unwrap()),
            ];
            primitive_date_time: [PrimitiveDateTime] eq => [
                PrimitiveDateTime::new(moment().date(), moment().time()),
            ];
        }
    }
    {
        use jiff::civil::{Date, DateTime, Time};
        use jiff::{SignedDuration, Span, Timestamp, ToSpan as _, ZonedDateTime};
        rows! { trials, "jiff":
            timestamp: [Timestamp] eq => [
                Timestamp::new(1_732_600_000, 123_456_789).unwrap(),
                Timestamp::MIN,
            ];
            date: [Date] eq => [Date::constant(2024, 2, 29)];
            time: [Time] eq => [Time::constant(23, 59, 59, 999_999_999)];
            date_time: [DateTime] eq => [DateTime::constant(2024, 2, 29, 1, 2, 3, 4)];
            signed_duration: [SignedDuration] eq => [
                SignedDuration::from_millis(-1500),
                SignedDuration::ZERO,
            ];
            span: [Span] debug => [3.hours().minutes(-7).years(2), Span::new()];
            zoned_date_time: [ZonedDateTime] eq => [
                "2024-11-26T12:00:00.5-05:00[America/New_York]".parse().unwrap(),
                "2024-11-26T12:00:00+05:30[+05:30]".parse().unwrap(),
            ];
        }
    }
    {
        rows! { trials, "humantime-serde":
            duration: [humantime_serde::Serde<std::time::Duration>] eq => [
                humantime_serde::Serde::from(std::time::Duration::from_millis(1500)),
            ];
            pause: [Pause] eq => [Pause { length: std::time::Duration::from_secs(90) }];
        }
    }
    trials
}

/// Declared as in a program.
#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Pause {
    #[serde(with = "humantime_serde")]
    length: std::time::Duration,
}
