//! The list: every way to a token that is none, and what becomes of it.

use serde_json::{Value, json};

use super::forge::{Forger, PublicKeyAs, base64};

/// How a token is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// It never was one.
    Invalid,
    /// It was one.
    Expired,
}

/// A name, a token, its refusal.
pub type Attack = (String, String, Refusal);

/// All that can be told from the token alone; `now` in seconds.
pub fn attacks(forger: &Forger, now: u64) -> Vec<Attack> {
    let mut all = Vec::new();
    all.extend(algorithms(forger));
    all.extend(signatures(forger));
    all.extend(key_ids(forger));
    all.extend(keys_brought_along(forger));
    all.extend(other_headers(forger));
    all.extend(times(forger, now));
    all.extend(names(forger));
    all.extend(shapes(forger));
    let mut named: Vec<Attack> = all.into_iter().map(|(name, token)| (name, token, Refusal::Invalid)).collect();
    let past = json!({"iat": now - 1_000, "nbf": now - 1_000, "exp": now - 100});
    named.push((
        "expired".into(),
        forger.own(&forger.header.to_string(), &forger.claims_with(&past)),
        Refusal::Expired,
    ));
    named
}

type Named = Vec<(String, String)>;

fn algorithms(forger: &Forger) -> Named {
    let claims = forger.claims.to_string();
    let mut all = Vec::new();
    for alg in ["none", "None", "NONE", "nOnE", "none ", ""] {
        let header = forger.header_with(&json!({ "alg": alg }));
        all.push((format!("alg {alg:?}, unsigned"), format!("{}.{}.", base64(&header), base64(&claims))));
        all.push((format!("alg {alg:?}, signed"), forger.own(&header, &claims)));
    }
    for alg in [json!("HS256"), json!("RS256"), json!("ES256"), json!("eddsa"), json!(0), json!(["EdDSA"]), Value::Null]
    {
        let header = forger.header_with(&json!({ "alg": alg }));
        all.push((format!("alg {alg}, signed as EdDSA"), forger.own(&header, &claims)));
    }
    let header = forger.header_with(&json!({"alg": "HS256"}));
    for encoding in [PublicKeyAs::Raw, PublicKeyAs::Text, PublicKeyAs::Der, PublicKeyAs::Pem] {
        let name = format!("HS256 with the public key, {encoding:?}");
        all.push((name, forger.symmetric(&header, &claims, encoding)));
    }
    // The key's owner would check an HMAC, if the header were not looked at.
    let token = forger.symmetric(&forger.header.to_string(), &claims, PublicKeyAs::Raw);
    all.push(("EdDSA by name, an HMAC by nature".into(), token));
    all
}

fn signatures(forger: &Forger) -> Named {
    let (header, claims) = (forger.header.to_string(), forger.claims.to_string());
    let (input, signature) = forger.good.rsplit_once('.').unwrap();
    let elsewhere = forger.own(&header, &forger.claims_with(&json!({"ver": 1})));
    let mut all = vec![
        ("an empty signature".into(), format!("{input}.")),
        ("a stripped signature".into(), input.to_owned()),
        ("a signature of zeros".into(), format!("{input}.{}", base64([0; 64]))),
        ("half a signature".into(), format!("{input}.{}", &signature[..43])),
        ("a signature and more".into(), format!("{input}.{signature}AAAA")),
        ("a padded signature".into(), format!("{input}.{signature}==")),
        ("the signature of another token".into(), format!("{input}.{}", elsewhere.rsplit_once('.').unwrap().1)),
        ("signed by somebody else".into(), forger.other(&header, &claims)),
    ];
    // Every byte of it in the tests of `core::auth::tokens`.
    let last = forger.good.len() - 1;
    for index in (0..last).step_by(last / 8).chain([last]) {
        let mut bytes = forger.good.clone().into_bytes();
        bytes[index] ^= 1;
        all.push((format!("a flipped bit in byte {index}"), String::from_utf8(bytes).unwrap()));
    }
    all
}

fn key_ids(forger: &Forger) -> Named {
    let claims = forger.claims.to_string();
    let cases = [
        ("missing", Value::Null),
        ("empty", json!("")),
        ("a path", json!("../../keys/token-ed25519.pk8")),
        ("a device", json!("/dev/null")),
        ("SQL", json!("' UNION SELECT 'secret' --")),
        ("a command", json!("key.pem|id")),
        ("NUL", json!("\u{0}")),
        ("somebody's", json!("0123456789abcdef")),
        ("a number", json!(1)),
        ("a list", json!([forger.header["kid"]])),
        ("1 KB", json!("k".repeat(1_000))),
        ("10 KB", json!("k".repeat(10_000))),
    ];
    let token = |(name, kid): (&str, Value)| {
        (format!("kid {name}"), forger.own(&forger.header_with(&json!({ "kid": kid })), &claims))
    };
    cases.into_iter().map(token).collect()
}

/// Signed by the key that they bring, with our key's id, without one, and with one of their own.
fn keys_brought_along(forger: &Forger) -> Named {
    let claims = forger.claims.to_string();
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": forger.other_public(), "alg": "EdDSA", "kid": "mine"});
    let mut all = Vec::new();
    for (name, value) in [
        ("jwk", jwk),
        ("jku", json!("http://127.0.0.1:1/keys.json")),
        ("x5u", json!("http://127.0.0.1:1/chain.pem")),
        ("x5c", json!(["MAA="])),
    ] {
        for (kid_name, kid) in
            [("ours", forger.header["kid"].clone()), ("none", Value::Null), ("theirs", json!("mine"))]
        {
            let mut fields = json!({ "kid": kid });
            fields[name] = value.clone();
            let token = forger.other(&forger.header_with(&fields), &claims);
            all.push((format!("embedded {name}, kid {kid_name}"), token));
        }
    }
    all
}

fn other_headers(forger: &Forger) -> Named {
    let claims = forger.claims.to_string();
    let cases = [
        ("crit of an unknown field", json!({"crit": ["x"], "x": 1})),
        ("crit of a known claim", json!({"crit": ["exp"]})),
        ("crit b64", json!({"crit": ["b64"], "b64": false})),
        ("crit without names", json!({"crit": []})),
        ("typ JWT", json!({"typ": "JWT"})),
        ("typ missing", json!({"typ": null})),
        ("typ of a refresh token", json!({"typ": "rt+jwt"})),
    ];
    let token = |(name, fields): (&str, Value)| (name.to_owned(), forger.own(&forger.header_with(&fields), &claims));
    let mut all: Named = cases.into_iter().map(token).collect();
    let kid = &forger.header["kid"];
    let twice = [
        ("alg twice", format!(r#"{{"alg":"none","alg":"EdDSA","typ":"at+jwt","kid":{kid}}}"#)),
        ("kid twice", format!(r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"x","kid":{kid}}}"#)),
    ];
    all.extend(twice.map(|(name, header)| (name.to_owned(), forger.own(&header, &claims))));
    all
}

fn times(forger: &Forger, now: u64) -> Named {
    let cases = [
        ("exp missing", json!({"exp": null})),
        ("exp a float", json!({"exp": now as f64 + 900.5})),
        ("exp a whole float", json!({"exp": now as f64 + 900.0})),
        ("exp a string", json!({"exp": (now + 900).to_string()})),
        ("exp a list", json!({"exp": [now + 900]})),
        ("exp negative", json!({"exp": -1})),
        ("exp huge", json!({"exp": u64::MAX})),
        ("exp in a year", json!({"exp": now + 365 * 86_400})),
        ("exp of its beginning", json!({"exp": now, "iat": now})),
        ("exp before its beginning", json!({"iat": now, "exp": now - 1})),
        ("nbf missing", json!({"nbf": null})),
        ("nbf in the future", json!({"nbf": now + 600})),
        ("nbf a string", json!({"nbf": now.to_string()})),
        ("iat missing", json!({"iat": null})),
        ("iat in the future", json!({"iat": now + 600, "exp": now + 1_200})),
        ("iat negative", json!({"iat": -1})),
        ("a life that began long ago", json!({"iat": 0, "nbf": 0})),
    ];
    let header = forger.header.to_string();
    let token = |(name, fields): (&str, Value)| (name.to_owned(), forger.own(&header, &forger.claims_with(&fields)));
    let mut all: Named = cases.into_iter().map(token).collect();
    // More than 64 bits, which no number of ours can hold.
    let claims = forger.claims_with(&json!({"exp": "HUGE"})).replace("\"HUGE\"", "18446744073709551616");
    all.push(("exp of 65 bits".into(), forger.own(&header, &claims)));
    all
}

fn names(forger: &Forger) -> Named {
    let nobody = "01890000-0000-7000-8000-000000000001";
    let (ver, login) = (forger.claims["ver"].as_u64().unwrap(), forger.claims["login"].as_u64().unwrap());
    let cases = [
        ("aud missing", json!({"aud": null})),
        ("aud wrong", json!({"aud": "other"})),
        ("aud a number", json!({"aud": 1})),
        ("aud a list with ours", json!({"aud": ["confab", "other"]})),
        ("aud a list of ours", json!({"aud": ["confab"]})),
        ("aud in another case", json!({"aud": "Confab"})),
        ("iss missing", json!({"iss": null})),
        ("iss wrong", json!({"iss": "https://evil.example"})),
        ("iss a list with ours", json!({"iss": ["confab", "other"]})),
        ("sub missing", json!({"sub": null})),
        ("sub of nobody", json!({"sub": nobody})),
        ("sub SQL", json!({"sub": "' OR 1=1 --"})),
        ("sub an object", json!({"sub": {"$ne": ""}})),
        ("dev missing", json!({"dev": null})),
        ("dev of nobody", json!({"dev": nobody})),
        ("ver missing", json!({"ver": null})),
        ("ver of the future", json!({"ver": ver + 1})),
        ("ver negative", json!({"ver": -1})),
        ("login missing", json!({"login": null})),
        ("login of the future", json!({"login": login + 1})),
    ];
    let header = forger.header.to_string();
    let token = |(name, fields): (&str, Value)| (name.to_owned(), forger.own(&header, &forger.claims_with(&fields)));
    let mut all: Named = cases.into_iter().map(token).collect();
    let whole = forger.claims.to_string();
    for (claim, value) in [("exp", "4102444800"), ("sub", "\"x\""), ("aud", "\"other\"")] {
        let claims = format!("{{\"{claim}\":{value},{}", &whole[1..]);
        all.push((format!("{claim} twice"), forger.own(&header, &claims)));
    }
    all
}

fn shapes(forger: &Forger) -> Named {
    let (header, claims) = (forger.header.to_string(), forger.claims.to_string());
    let good = &forger.good;
    let parts: Vec<&str> = good.split('.').collect();
    let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    vec![
        ("no segment".into(), "token".into()),
        ("two segments".into(), format!("{}.{}", parts[0], parts[1])),
        ("four segments".into(), format!("{good}.")),
        ("five segments".into(), format!("{good}.{}.{}", parts[1], parts[2])),
        ("five empty segments".into(), "....".into()),
        ("segments in another order".into(), format!("{}.{}.{}", parts[1], parts[0], parts[2])),
        ("a token inside a token".into(), forger.own(&header, &json!(good).to_string())),
        ("claims that are a list".into(), forger.own(&header, "[]")),
        ("claims that are no JSON".into(), forger.own(&header, "exp=1")),
        ("claims with something behind them".into(), forger.own(&header, &format!("{claims}{{}}"))),
        ("a header that is no JSON".into(), forger.own("alg=EdDSA", &claims)),
        ("no UTF-8".into(), format!("{}.{}.{}", base64([0xff, 0xfe]), parts[1], parts[2])),
        ("another alphabet".into(), format!("{}.{}+/.{}", parts[0], parts[1], parts[2])),
        ("SQL".into(), "' OR 1=1 --".into()),
        ("2 KiB and a byte".into(), "x".repeat(2_049)),
        ("1 MB".into(), "x".repeat(1 << 20)),
        ("a depth of 300 in the header".into(), forger.own(&deep(300), &claims)),
        ("a depth of 300 in the claims".into(), forger.own(&header, &deep(300))),
        ("a depth of 10,000 in the header".into(), forger.own(&deep(10_000), &claims)),
        ("a depth of 10,000 in the claims".into(), forger.own(&header, &deep(10_000))),
    ]
}
