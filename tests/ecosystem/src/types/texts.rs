//! Texts, identifiers, addresses, and values of any form.

use crate::row::Trial;
use crate::same::{debug, eq};

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    {
        use uuid::{NonNilUuid, Uuid};
        let id = || Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
        rows! { trials, "uuid":
            uuid: [Uuid] eq => [id(), Uuid::nil()];
            uuid_fmt_hyphenated: [uuid::fmt::Hyphenated] eq => [id().hyphenated()];
            btree_map_uuid_f64: [std::collections::BTreeMap<Uuid, f64>] eq => [
                [(id(), 0.5), (Uuid::nil(), 1.5)].into(),
            ];
            non_nil_uuid: [NonNilUuid] eq => [NonNilUuid::new(id()).unwrap()];
            simple_id: [SimpleId] eq => [SimpleId { id: id() }];
        }
    }
    {
        use ulid::Ulid;
        rows! { trials, "ulid":
            ulid: [Ulid] eq => [Ulid::from_parts(1_732_600_000_000, 7), Ulid::nil()];
            btree_map_ulid_f64: [std::collections::BTreeMap<Ulid, f64>] eq => [
                [(Ulid::from_parts(1_732_600_000_000, 7), 0.5)].into(),
                [].into(),
            ];
        }
    }
    {
        use url::{Host, Url};
        rows! { trials, "url":
            url: [Url] eq => [Url::parse("https://example.org/a?b=c#d").unwrap()];
            host: [Host] eq => [Host::parse("example.org").unwrap(), Host::parse("[::1]").unwrap()];
        }
    }
    {
        use semver::{Version, VersionReq};
        rows! { trials, "semver":
            version: [Version] eq => [Version::parse("1.2.3-rc.1+build.7").unwrap()];
            version_req: [VersionReq] eq => [
                VersionReq::parse(">=1.2, <2").unwrap(),
                VersionReq::STAR,
            ];
        }
    }
    {
        use ipnet::{IpNet, Ipv4Net};
        rows! { trials, "ipnet":
            ip_net: [IpNet] eq => ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
            ipv4_net: [Ipv4Net] eq => ["10.1.2.0/24".parse().unwrap()];
        }
    }
    {
        use smol_str::SmolStr;
        rows! { trials, "smol_str":
            smol_str: [SmolStr] eq => [
                SmolStr::new("short"),
                SmolStr::new("a text that does not fit into the value itself"),
                SmolStr::default(),
            ];
        }
    }
    {
        use compact_str::CompactString;
        rows! { trials, "compact_str":
            compact_string: [CompactString] eq => [
                CompactString::new("short"),
                CompactString::new("a text that does not fit into the value itself"),
                CompactString::default(),
            ];
        }
    }
    {
        use camino::Utf8PathBuf;
        rows! { trials, "camino":
            utf8_path_buf: [Utf8PathBuf] eq => [
                Utf8PathBuf::from("data/één.csv"),
                Utf8PathBuf::new(),
            ];
        }
    }
    {
        use bstr::BString;
        rows! { trials, "bstr":
            bstring: [BString] eq => [
                BString::from(b"any \xff bytes".to_vec()),
                BString::default(),
            ];
        }
    }
    {
        use bytesize::ByteSize;
        rows! { trials, "bytesize":
            byte_size: [ByteSize] eq => [ByteSize::mib(7), ByteSize(1)];
        }
    }
    {
        use serde_json::{Map, Number, Value, json};
        let value = || json!({ "a": [1, -2.5, null, "text", true], "b": {} });
        rows_apart! { trials, "serde_json":
            json_value: [Value] eq => [value(), Value::Null];
            map_string_value: [Map<String, Value>] eq => [
                value().as_object().unwrap().clone(),
                Map::new(),
            ];
            number: [Number] debug => [Number::from(7), Number::from_f64(0.5).unwrap()];
        }
        rows! { trials, "serde_json":
            #[serde(with = "checkpointed::self_describing")]
            json_value: [Value] eq => [value(), Value::Null];
            #[serde(with = "checkpointed::self_describing")]
            map_string_value: [Map<String, Value>] eq => [
                value().as_object().unwrap().clone(),
                Map::new(),
            ];
            #[serde(with = "checkpointed::self_describing")]
            number: [Number] debug => [Number::from(7), Number::from_f64(0.5).unwrap()];
        }
    }
    {
        rows! { trials, "serde_with":
            settings: [Settings] eq => [
                Settings {
                    layers: vec![3, 4],
                    rate: 0.5,
                    until: std::time::Duration::from_secs(90),
                    seen: [(1, 0.5)].into(),
                },
            ];
        }
    }
    trials
}

/// Declared as in a program.
#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SimpleId {
    #[serde(with = "uuid::serde::simple")]
    id: uuid::Uuid,
}

/// Declared as in a program.
#[serde_with::serde_as]
#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Settings {
    #[serde_as(as = "serde_with::json::JsonString")]
    layers: Vec<u32>,
    #[serde_as(as = "serde_with::DisplayFromStr")]
    rate: f64,
    #[serde_as(as = "serde_with::DurationSeconds<u64>")]
    until: std::time::Duration,
    #[serde_as(as = "Vec<(_, _)>")]
    seen: std::collections::BTreeMap<u64, f64>,
}
