//! Which endings make a bare word a host. A word with a dot in it is a link only by these: people write files, versions,
//! code and sentences without a space, and all of them have dots.

/// How much an ending says; the later the more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Ending {
    /// No top-level domain that people meet.
    Unknown,
    /// One that is as often the end of a file, a word or a member of an object; it counts with `www.` or a path.
    Doubtful,
    /// A top-level domain.
    Sure,
}

/// Sorted; with those of two letters that are neither a usual file's nor a word of a common language.
const SURE: &[&str] = &[
    "ad", "ae", "aero", "af", "ag", "asia", "au", "aw", "ax", "az", "ba", "bb", "bd", "bet", "bf", "bg", "bh", "bi",
    "bid", "biz", "bj", "bm", "bn", "bo", "br", "bs", "bt", "bw", "ca", "casino", "cat", "cd", "cfd", "cg", "ch", "ck",
    "cl", "cloud", "club", "cm", "cn", "co", "com", "coop", "cr", "cv", "cw", "cx", "cy", "cyou", "cz", "dating", "de",
    "dev", "dj", "dk", "dm", "dz", "ec", "edu", "ee", "eg", "eu", "example", "fi", "fj", "fk", "fm", "fo", "fr", "gd",
    "gdn", "ge", "gf", "gg", "gh", "gi", "gl", "gm", "gov", "gp", "gq", "gr", "gt", "gu", "gw", "gy", "hk", "hn", "hr",
    "ht", "hu", "icu", "ie", "il", "info", "io", "iq", "jm", "jo", "jobs", "jp", "ke", "kg", "kh", "kp", "kr", "kw",
    "ky", "kz", "lb", "lc", "lk", "loan", "lr", "ls", "lt", "ltd", "lu", "lv", "ly", "mc", "mg", "mh", "mil", "mn",
    "mobi", "mq", "mr", "museum", "mv", "mw", "mx", "mz", "nc", "net", "nf", "ng", "nl", "np", "nr", "nu", "nz", "one",
    "onion", "online", "org", "pe", "pf", "pg", "pk", "pn", "poker", "porn", "pr", "pro", "pt", "pw", "qa", "ro", "ru",
    "rw", "sb", "sbs", "sd", "sex", "sg", "shop", "site", "sk", "sl", "sm", "sn", "sr", "ss", "su", "sx", "sy", "sz",
    "tech", "tel", "tg", "th", "tj", "tk", "tl", "tm", "tn", "tr", "travel", "tt", "tv", "tw", "tz", "ua", "ug", "uk",
    "uy", "uz", "vc", "vg", "vip", "vn", "webcam", "website", "wf", "wtf", "xyz", "ye", "yt", "za", "zm", "zw",
];

/// Sorted: files (.sh, .rs, .so, .pl, .zip), words (it, is, me, to; live, run, top), what code has behind a dot.
const DOUBTFUL: &[&str] = &[
    "ac",
    "agency",
    "ai",
    "al",
    "am",
    "ao",
    "app",
    "ar",
    "as",
    "at",
    "autos",
    "be",
    "beauty",
    "blog",
    "boats",
    "bond",
    "buzz",
    "by",
    "bz",
    "cam",
    "cc",
    "cf",
    "ci",
    "click",
    "cool",
    "cu",
    "date",
    "digital",
    "direct",
    "do",
    "download",
    "email",
    "er",
    "es",
    "et",
    "finance",
    "fun",
    "fund",
    "fyi",
    "ga",
    "games",
    "gift",
    "global",
    "gn",
    "gs",
    "guru",
    "hair",
    "homes",
    "id",
    "im",
    "in",
    "int",
    "ir",
    "is",
    "it",
    "je",
    "ki",
    "km",
    "kn",
    "la",
    "li",
    "life",
    "link",
    "live",
    "lol",
    "ma",
    "makeup",
    "md",
    "me",
    "media",
    "men",
    "mk",
    "ml",
    "mm",
    "mo",
    "mom",
    "money",
    "monster",
    "motorcycles",
    "mov",
    "mp",
    "ms",
    "mt",
    "mu",
    "my",
    "na",
    "name",
    "ne",
    "network",
    "news",
    "ni",
    "no",
    "om",
    "pa",
    "page",
    "party",
    "ph",
    "photo",
    "pics",
    "pl",
    "pm",
    "ps",
    "pub",
    "py",
    "quest",
    "re",
    "rest",
    "review",
    "rocks",
    "rs",
    "run",
    "sa",
    "sale",
    "sc",
    "se",
    "services",
    "sh",
    "si",
    "skin",
    "so",
    "social",
    "software",
    "solutions",
    "space",
    "st",
    "store",
    "stream",
    "support",
    "sv",
    "systems",
    "tc",
    "td",
    "tf",
    "to",
    "today",
    "tools",
    "top",
    "trade",
    "us",
    "va",
    "ve",
    "vi",
    "video",
    "vu",
    "wiki",
    "win",
    "work",
    "world",
    "ws",
    "yachts",
    "zip",
    "zone",
];

/// Sorted: those of other scripts that are no words.
const OTHER_SCRIPTS: &[&str] = &[
    "ελ",
    "бг",
    "бел",
    "ею",
    "мкд",
    "рф",
    "срб",
    "укр",
    "қаз",
    "ישראל",
    "امارات",
    "ایران",
    "بھارت",
    "مصر",
    "भारत",
    "ไทย",
    "中国",
    "中國",
    "台湾",
    "台灣",
    "香港",
    "한국",
];

/// Names of things, which are mostly not meant as hosts.
const THINGS: &[&str] =
    &["ado.net", "asp.net", "command.com", "java.io", "java.net", "socket.io", "system.io", "system.net", "vb.net"];

/// What writes a line of a log, in code: `logger.info`.
const WRITERS: &[&str] = &["console", "log", "logger", "logging", "self", "this"];

pub fn ending(label: &str) -> Ending {
    let has = |list: &[&str]| list.binary_search(&label).is_ok();
    match label.is_ascii() {
        true if has(SURE) => Ending::Sure,
        true if has(DOUBTFUL) => Ending::Doubtful,
        // A host as a resolver has it: no word ends so.
        true if label.starts_with("xn--") => Ending::Sure,
        false if OTHER_SCRIPTS.contains(&label) => Ending::Sure,
        _ => Ending::Unknown,
    }
}

/// Whether it is known as something else than a host.
pub fn is_thing(host: &str) -> bool {
    THINGS.contains(&host)
        || host
            .strip_suffix(".info")
            .is_some_and(|rest| WRITERS.iter().any(|writer| rest.split('.').any(|it| it == *writer)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_and_apart() {
        assert!(SURE.is_sorted() && SURE.iter().all(|it| ending(it) == Ending::Sure));
        let wrong = DOUBTFUL.iter().find(|it| ending(it) != Ending::Doubtful);
        assert_eq!(wrong, None);
    }
}
