//! Which names are given, refused, or taken for others.

use std::collections::HashMap;

use confab_protocol::limits::ROOM_NAME_BYTES_MAX;
use confab_protocol::model::{RoomName, Username};

use super::*;

/// A refused good name is a failure of its own.
const GIVEN: &[&str] = &[
    // Word by word.
    "QA команда",
    "IT-отдел",
    "مریم <b>",
    "Ελλάδα Россия",
    // English and signs.
    "general",
    "#general",
    "C++",
    "C#",
    "F♯",
    "R&D",
    "Q&A",
    "a/b testing",
    "24/7",
    "100%",
    "O'Neil",
    "O’Neil",
    "“quoted”",
    "…",
    "???",
    "-",
    "~",
    "$€¥₿",
    "3 × 4 = 12",
    "<script>alert(1)</script>",
    "a_b-c.d",
    "®",
    "Tom™",
    "x²",
    "№ 5",
    "½ price",
    "ACME\u{a0}Ltd",
    "what\u{202f}?",
    "12:30",
    "¯\\_(ツ)_/¯",
    // Latin of others.
    "café",
    "cafe\u{301}",
    "Zürich",
    "Straße",
    "GROẞ",
    "İstanbul",
    "ırmak",
    "Łódź",
    "Škoda",
    "Ærø",
    "smørrebrød",
    "niño",
    "¿Qué?",
    "piñata ½",
    "l·l",
    "Việt Nam",
    "Nguyễn Thị Ánh",
    "Vie\u{323}\u{302}t",
    "Lặng lẽ",
    "ẹ\u{301}kọ\u{301}",
    "Ọ\u{300}ṣun",
    "ŋaŋ",
    "ǃXóõ",
    "Hawaiʻi",
    "Māori",
    "ﬁnance",
    "ＡＢＣ",
    "𝐁𝐨𝐥𝐝",
    // Greek, Cyrillic, Armenian, Georgian.
    "Ελλάδα",
    "Ὀδυσσεύς",
    "ΑΒΒΑ",
    "Привет, мир!",
    "Школа № 5",
    "Ёжик",
    "Київ",
    "Ћирилица",
    "Қазақстан",
    "Монгол улс",
    "Հայաստան",
    "საქართველო",
    "ᲡᲐᲥᲐᲠᲗᲕᲔᲚᲝ",
    // Right to left, pointed and joined.
    "العربية",
    "مُحَمَّد",
    "الحَمْدُ لِلّٰه",
    "۱۲۳ فارسی",
    "می\u{200c}خواهم",
    "کتاب\u{200c}ها",
    "اردو",
    "پښتو",
    "ئۇيغۇرچە",
    "غرفة ١٢",
    "قناة، عامة؟",
    "עברית",
    "שָׁלוֹם",
    "צה״ל",
    "ג׳ירפה",
    "ייִדיש",
    "ܣܘܪܝܝܐ",
    "ދިވެހި",
    "ߒߞߏ",
    // India and around, with the joiners that their spelling needs.
    "हिन्दी",
    "क्\u{200d}ष",
    "क्\u{200c}ष",
    "श्री गणेश",
    "मराठी",
    "नेपाली",
    "संस्कृतम्",
    "বাংলা",
    "র\u{200d}্যাব",
    "ਪੰਜਾਬੀ",
    "ગુજરાતી",
    "ଓଡ଼ିଆ",
    "தமிழ்",
    "తెలుగు",
    "ಕನ್ನಡ",
    "ರ್\u{200c}ಕ",
    "മലയാളം",
    "ന്\u{200d}",
    "සිංහල",
    "ශ්\u{200d}රී ලංකා",
    "བོད་སྐད།",
    "ཧཱུྂ",
    "རྒྱལ་ཁབ་",
    // South-east Asia.
    "ภาษาไทย",
    "ที่นี่",
    "กู้ซ้ำ",
    "น้ำ",
    "ພາສາລາວ",
    "ភាសាខ្មែរ",
    "မြန်မာဘာသာ",
    "ꦗꦮ",
    "ᜊᜌ᜔ᜊᜌᜒᜈ᜔",
    // East Asia: scripts that are written together, with Latin too.
    "日本語",
    "ひらがな",
    "カタカナ",
    "東京タワーへ行く",
    "ﾊﾝｶｸ",
    "ラーメン",
    "人々",
    "Tシャツ",
    "API会議",
    "東京\u{3000}支店",
    "〆切",
    "葛\u{e0100}城",
    "简体中文",
    "繁體中文",
    "K歌",
    "QQ群",
    "注音ㄅㄆㄇ",
    "한국어",
    "大韓民國의 역사",
    "K팝",
    "ㅋㅋㅋ",
    "한국어 1반",
    // Africa, America and others.
    "አማርኛ",
    "ⵜⴰⵎⴰⵣⵉⵖⵜ",
    "ᏣᎳᎩ",
    "ᐃᓄᒃᑎᑐᑦ",
    "ᠮᠣᠩᠭᠣᠯ",
    "ᠨ\u{180b}ᠠ",
    "ꆈꌠꉙ",
    "𐌲𐌿𐍄𐌹𐍃𐌺",
    // Emoji, alone and beside any script.
    "🎉",
    "party 🎉",
    "вечеринка 🎉",
    "パーティー🎉",
    "👨\u{200d}👩\u{200d}👧\u{200d}👦",
    "👩🏽\u{200d}🚀",
    "🏳\u{fe0f}\u{200d}🌈",
    "🏴\u{200d}☠\u{fe0f}",
    "❤\u{fe0f}\u{200d}🔥",
    "👁\u{fe0f}\u{200d}🗨\u{fe0f}",
    "❤\u{fe0f}",
    "☺\u{fe0e}",
    "1\u{fe0f}\u{20e3}",
    "#\u{fe0f}\u{20e3}",
    "🇩🇪",
    "👍🏿",
    "🧑🏻\u{200d}❤\u{fe0f}\u{200d}💋\u{200d}🧑🏿",
    "\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
    "Wales \u{1f3f4}\u{e0067}\u{e0062}\u{e0077}\u{e006c}\u{e0073}\u{e007f}",
];

const REFUSED: &[(&str, NameError)] = &[
    ("", NameError::Blank),
    (" ", NameError::Blank),
    ("\u{3000}\u{a0}", NameError::Blank),
    ("\u{3164}", NameError::Blank),
    ("\u{2800}\u{2800}", NameError::Blank),
    ("\u{200d}\u{200c}", NameError::Blank),
    ("\u{fe0f}", NameError::Blank),
    ("a\0", NameError::NotText),
    ("a\nb", NameError::NotText),
    ("a\tb", NameError::NotText),
    ("a\u{7f}", NameError::NotText),
    ("a\u{85}b", NameError::NotText),
    ("a\u{2028}b", NameError::NotText),
    ("\u{e000}", NameError::NotText),
    ("logo \u{f8ff}", NameError::NotText),
    ("\u{10ffff}", NameError::NotText),
    ("\u{378}", NameError::NotText),
    ("\u{fdd0}", NameError::NotText),
    ("ad\u{200b}min", NameError::Unseen),
    ("ad\u{200c}min", NameError::Unseen),
    ("ad\u{200d}min", NameError::Unseen),
    ("\u{200d}admin", NameError::Unseen),
    ("admin\u{200d}", NameError::Unseen),
    ("م\u{200c}", NameError::Unseen),
    ("а\u{200c}б", NameError::Unseen),
    ("日\u{200d}本", NameError::Unseen),
    ("1\u{200d}2", NameError::Unseen),
    ("🎉\u{200d}", NameError::Unseen),
    ("🎉\u{200d}\u{200d}🎉", NameError::Unseen),
    ("ad\u{ad}min", NameError::Unseen),
    ("ad\u{34f}min", NameError::Unseen),
    ("ad\u{2060}min", NameError::Unseen),
    ("\u{feff}admin", NameError::Unseen),
    ("admin\u{fe0f}", NameError::Unseen),
    ("admin\u{e0100}", NameError::Unseen),
    ("admin\u{3164}", NameError::Unseen),
    ("ad\u{115f}min", NameError::Unseen),
    ("a\u{180b}", NameError::Unseen),
    ("a\u{2003}b", NameError::Unseen),
    ("a\u{1680}b", NameError::Unseen),
    ("a\u{fffd}b", NameError::Unseen),
    ("x\u{e0041}\u{e0042}", NameError::Unseen),
    ("\u{1f3f4}\u{e0078}\u{e0079}\u{e007f}", NameError::Unseen),
    ("\u{1f3f4}\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}", NameError::Unseen),
    ("abc\u{202e}cba", NameError::Unseen),
    ("\u{202a}a\u{202c}", NameError::Unseen),
    ("a\u{2066}b\u{2069}", NameError::Unseen),
    ("a\u{200e}b", NameError::Unseen),
    ("א\u{200f}ב", NameError::Unseen),
    ("ا\u{61c}ب", NameError::Unseen),
    ("\u{fff9}a\u{fffb}", NameError::Unseen),
    ("\u{301}", NameError::LoneMark),
    ("\u{301}a", NameError::LoneMark),
    ("a \u{301}", NameError::LoneMark),
    ("\u{20dd}x", NameError::LoneMark),
    ("\u{93e}", NameError::LoneMark),
    ("a\u{301}\u{302}\u{303}\u{304}\u{305}", NameError::TooManyMarks),
    ("ế\u{301}\u{302}\u{303}", NameError::TooManyMarks),
    ("Z\u{336}\u{336}\u{336}\u{336}\u{336}algo", NameError::TooManyMarks),
    ("क्\u{200d}\u{301}\u{302}\u{303}\u{304}", NameError::TooManyMarks),
    ("рaypal", NameError::MixedScripts),
    ("pаypal", NameError::MixedScripts),
    ("gοogle", NameError::MixedScripts),
    ("Αdmin", NameError::MixedScripts),
    ("аdmіn", NameError::MixedScripts),
    ("adminא", NameError::MixedScripts),
    ("ԁean", NameError::MixedScripts),
    ("ᎪᏢplе", NameError::MixedScripts),
    ("кириллица日本", NameError::MixedScripts),
    ("한국어ひらがな", NameError::MixedScripts),
    ("ㄅひ", NameError::MixedScripts),
    ("𝐚дмин", NameError::MixedScripts),
    ("日本語русский", NameError::MixedScripts),
    ("عربי", NameError::MixedScripts),
];

#[test]
fn good_names_of_many_languages_are_given() {
    let refused: Vec<_> = GIVEN.iter().filter_map(|name| Some((name, check(name).err()?))).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    assert!(GIVEN.len() > 150);
}

#[test]
fn deceptive_names_are_refused() {
    for (name, error) in REFUSED {
        assert_eq!(check(name), Err(*error), "{name:?}");
    }
}

/// Whatever a login name may be, it is a name that may be shown, too.
#[test]
fn each_letter_of_login_names_may_be_shown() {
    for byte in (0..=u8::MAX).filter(u8::is_ascii_graphic) {
        let name = char::from(byte).to_string();
        assert_eq!(check(&name), Ok(()), "{name}");
    }
}

#[test]
fn what_looks_the_same_has_one_key() {
    let same: &[&[&str]] = &[
        &[
            "paypal",
            "paypa1",
            "PAYPAL",
            "PayPa|",
            "рaypal",
            "раураl",
            "ｐａｙｐａｌ",
            "𝐩𝐚𝐲𝐩𝐚𝐥",
            "pay\u{200b}pal",
            "pay\u{ad}pal",
        ],
        &["modern", "modem", "MODERN", "rnodern", "rnodem"],
        &["0", "o", "O", "О", "Ο", "ο"],
        &["bob", "ΒΟΒ", "βοβ", "ВОВ", "b0b"],
        &["heat", "НЕАТ", "Неат"],
        &["Straße", "STRASSE", "strasse", "STRAẞE"],
        &["café", "cafe\u{301}", "CAFÉ"],
        &["ΟΔΟΣ", "οδος", "οδοσ"],
        &["ﬁle", "file", "FILE"],
        &["a b", "a  b", "A\u{3000}b", " a\u{a0}b "],
        &["o'neil", "o’neil", "oʼneil", "o`neil"],
        &["a-b", "a‐b", "a–b", "a‑b"],
        &["❤", "❤\u{fe0f}"],
        &["क्ष", "क्\u{200d}ष", "क्\u{200c}ष"],
        &["한국", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{116e}\u{11a8}"],
        &["ガ", "ｶﾞ"],
        &["admin", "ᴀdmin", "ᴀᴅᴍɪɴ", "Aᴅᴍɪɴ", "adᴍin", "admiɴ", "ᵃᵈᵐⁱⁿ", "ᵃᵈᵐᶦᶰ", "aꝺmin", "🅐🅓🅜🅘🅝", "🅰🅳🅼🅸🅽", "ⓐⓓⓜⓘⓝ"],
        &["quick brown jumps", "ꞯᴜɪᴄᴋ ʙʀᴏᴡɴ ᴊᴜᴍᴘꜱ"],
        &["haze of glory", "ʜᴀᴢᴇ ᴏꜰ ɢʟᴏʀʏ", "haze oꝼ ᵹloꞃy"],
        &["test vest", "ᴛᴇꜱᴛ ᴠᴇꜱᴛ", "ꞇeꞅꞇ veꞅꞇ"],
        &["kino", "ĸino", "ᴋino"],
    ];
    for names in same {
        let key = skeleton(names[0]);
        for name in *names {
            assert_eq!(skeleton(name), key, "{name} as {}", names[0]);
        }
    }
}

#[test]
fn what_looks_different_has_keys_of_its_own() {
    let names = [
        "alice",
        "bob",
        "carol",
        "dave",
        "general",
        "genera",
        "random",
        "mail",
        "mall",
        "bill",
        "user10",
        "user11",
        "user1",
        "user2",
        "a-b",
        "a_b",
        "a.b",
        "ab",
        "a b",
        "C",
        "C++",
        "C#",
        "café",
        "cafe",
        "привет",
        "приве",
        "日本",
        "日木",
        "한국",
        "힌국",
        "🎉",
        "🎊",
        "हिन्दी",
        "हिंदी",
        "ка",
        "ки",
        "кі",
        // Letters of their own, though not far from others.
        "Łódź",
        "Lódź",
        "smørrebrød",
        "smorrebrod",
        "đà",
        "dà",
        "ŋaŋ",
        "nan",
        "ɓaɓa",
        "baba",
        "ʃip",
        "ship",
        "ǝlᴉ",
        "eli",
        "Ægir",
        "Agir",
        "þór",
        "bór",
    ];
    let mut seen = HashMap::new();
    for name in names {
        let other = seen.insert(skeleton(name), name);
        assert_eq!(other, None, "{name}");
    }
}

/// Every letter of names from many languages and places stays what it was: whoever folds more finds out whom it meets.
#[test]
fn good_names_are_taken_for_no_other() {
    let twins =
        [["café", "cafe\u{301}"], ["O'Neil", "O’Neil"], ["क्\u{200d}ष", "क्\u{200c}ष"], ["საქართველო", "ᲡᲐᲥᲐᲠᲗᲕᲔᲚᲝ"]];
    let mut seen = HashMap::new();
    for name in GIVEN {
        let other = seen.insert(skeleton(name), *name);
        assert!(other.is_none_or(|other| twins.contains(&[other, name])), "{name} {other:?}");
    }
}

/// Digits fold into letters, but never into each other.
#[test]
fn numbers_never_collide() {
    let mut seen = HashMap::new();
    for number in 0..=10_000 {
        for form in [format!("u{number}"), format!("user-{number}")] {
            let key = user_key(&Username::parse(&form).unwrap());
            assert_eq!(seen.insert(key, form.clone()), None, "{form}");
        }
    }
}

#[test]
fn rooms_take_a_capital_i_for_a_small_l() {
    let key = |name| room_key(&RoomName::parse(name).unwrap());
    for name in ["GeneraI", "general", "GENERAL", "Genera1", "generai"] {
        assert_eq!(key(name), key("General"), "{name}");
    }
    assert_eq!(key("CAFÍ"), key("cafĺ"));
    let user = |name| user_key(&Username::parse(name).unwrap());
    assert_eq!(key("admi\u{307}n"), key("admin"), "a dot above takes the place of the letter's own");
    assert_ne!(user("mail"), user("mall"), "login names are shown in small letters");
    assert_eq!(user("paypa1"), user("PayPal"));
}

/// Every character there is: a key is its own key, and not much longer than its name.
#[test]
fn keys_are_their_own_keys_and_bounded() {
    const GROWTH_MAX: usize = 10;
    // What an index of PostgreSQL takes: a third of a page.
    const { assert!(ROOM_NAME_BYTES_MAX * GROWTH_MAX < 2_700) };
    let is_text = |c: &char| !matches!(c.general_category(), GeneralCategory::PrivateUse | GeneralCategory::Unassigned);
    for c in ('\0'..=char::MAX).filter(is_text) {
        let name = c.to_string();
        let key = skeleton(&name);
        assert_eq!(skeleton(key.as_str()), key, "{c:?}");
        assert!(key.as_str().len() <= name.len() * GROWTH_MAX, "{c:?}: {key}");
    }
}

/// A small generator: the same names in every run (splitmix64).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Of letters of good names, of any characters, and of what joins and marks.
fn random_name(state: &mut u64, letters: &[char]) -> String {
    let odd =
        ['\u{200d}', '\u{200c}', '\u{301}', '\u{345}', '\u{fe0f}', ' ', '1', 'l', 'I', 'İ', 'ß', 'ﷺ', 'ŉ', '\u{94d}'];
    let mut name = String::new();
    for _ in 0..=random(state) % 12 {
        let number = random(state);
        let c = match number % 4 {
            0 | 1 => letters[(number >> 8) as usize % letters.len()],
            2 => odd[(number >> 8) as usize % odd.len()],
            _ => char::from_u32((number >> 8) as u32 % 0x3_0000).unwrap_or('x'),
        };
        name.push(c);
    }
    name
}

#[test]
fn properties_of_keys_hold_for_random_names() {
    let letters: Vec<char> = GIVEN.iter().flat_map(|name| name.chars()).collect();
    let mut state = 0x5eed_0001;
    for _ in 0..4_000 {
        let name = random_name(&mut state, &letters);
        let key = skeleton(&name);
        assert_eq!(skeleton(key.as_str()), key, "{name:?}: its own key");
        assert_eq!(skeleton(&name), key, "{name:?}: the same every time");
        for form in [name.nfc().collect::<String>(), name.nfd().collect(), name.nfkc().collect()] {
            assert_eq!(skeleton(&form), key, "{name:?}: in any form");
        }
        // No verdict depends on the form either, beyond which rule is met first.
        let (plain, decomposed) = (check(&name), check(&name.nfd().collect::<String>()));
        assert_eq!(plain.is_ok(), decomposed.is_ok(), "{name:?}: {plain:?} {decomposed:?}");
    }
}
