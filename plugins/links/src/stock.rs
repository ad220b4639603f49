//! Lists that are there without configuration.

/// Often imitated: what people pay with, log in to, and get parcels from.
pub(crate) const PROTECTED: &str = "
    paypal.com google.com gmail.com youtube.com apple.com icloud.com microsoft.com microsoftonline.com live.com
    outlook.com office.com office365.com github.com gitlab.com amazon.com ebay.com facebook.com instagram.com
    whatsapp.com twitter.com x.com linkedin.com tiktok.com netflix.com spotify.com discord.com discord.gg
    discordapp.com steamcommunity.com steampowered.com epicgames.com roblox.com minecraft.net twitch.tv reddit.com
    telegram.org t.me signal.org dropbox.com adobe.com yahoo.com docusign.com slack.com zoom.us cloudflare.com
    wikipedia.org mozilla.org openai.com
    binance.com coinbase.com kraken.com metamask.io blockchain.com trezor.io ledger.com opensea.io uniswap.org
    chase.com wellsfargo.com bankofamerica.com citibank.com hsbc.com barclays.co.uk santander.com revolut.com
    stripe.com wise.com klarna.com americanexpress.com mastercard.com visa.com
    dhl.com fedex.com ups.com usps.com booking.com airbnb.com alibaba.com aliexpress.com walmart.com
    mercadolibre.com mercadopago.com rakuten.co.jp
    vk.com ok.ru mail.ru yandex.ru sberbank.ru gosuslugi.ru qq.com wechat.com weixin.qq.com taobao.com alipay.com
    baidu.com naver.com kakao.com
";

/// Of these, names that people log in or pay with, and that nobody else names a host after.
pub(crate) const ALONE: &[&str] = &[
    "alipay",
    "americanexpress",
    "bankofamerica",
    "binance",
    "citibank",
    "coinbase",
    "docusign",
    "gosuslugi",
    "icloud",
    "klarna",
    "mastercard",
    "mercadolibre",
    "mercadopago",
    "metamask",
    "microsoftonline",
    "netflix",
    "opensea",
    "paypal",
    "revolut",
    "santander",
    "sberbank",
    "steamcommunity",
    "steampowered",
    "wellsfargo",
];

/// What people run on hosts of their own, which bear its name.
pub(crate) const SELF_HOSTED: &[&str] = &["github", "gitlab"];

/// What stands beside a name to lead people on.
pub(crate) const BAITS: &[&str] = &[
    "account",
    "accounts",
    "airdrop",
    "auth",
    "billing",
    "bonus",
    "claim",
    "confirm",
    "gift",
    "gifts",
    "id",
    "kyc",
    "login",
    "logon",
    "nitro",
    "pay",
    "payment",
    "promo",
    "recover",
    "recovery",
    "reward",
    "rewards",
    "secure",
    "security",
    "signin",
    "support",
    "unlock",
    "update",
    "validate",
    "verification",
    "verify",
    "wallet",
];

/// Where pages are named after what they are about.
pub(crate) const PLACES: &[&str] = &[
    ".akamaihd.net",
    ".fandom.com",
    ".github.io",
    ".gitlab.io",
    ".js.org",
    ".readthedocs.io",
    ".slashdot.org",
    ".stackexchange.com",
];

/// Ends below those of countries: `co.uk`.
pub(crate) const SECOND: &[&str] = &["ac", "co", "com", "edu", "gov", "ne", "net", "or", "org"];

/// A letter away from a protected name, and somebody's own.
pub(crate) const GENUINE: &[&str] = &["mercadolivre", "wikimedia"];

/// Networks whose hosts begin with those that they serve.
pub(crate) const MIRRORS: &[&str] = &[
    ".edgekey.net",
    ".edgesuite.net",
    ".akadns.net",
    ".akamai.net",
    ".akamaiedge.net",
    ".cdn.cloudflare.net",
    ".fastly.net",
    ".trafficmanager.net",
    ".nyud.net",
];

/// Where an address says nothing about where it leads.
pub(crate) const SHORTENERS: &str = "
    bit.ly bitly.com t.co goo.gl tinyurl.com ow.ly is.gd v.gd cutt.ly rb.gy rebrand.ly shorturl.at shorturl.asia
    tiny.cc tiny.one t.ly s.id buff.ly adf.ly bc.vc ouo.io shorte.st linktr.ee lnkd.in bl.ink soo.gd clck.ru vk.cc
    u.to qps.ru goo.su x.co tr.im snipurl.com dlvr.it t2m.io short.io shrtco.de 1url.com urlz.fr surl.li
    n9.cl dwz.cn url.cn suo.im
";

/// Invitations of other services: a host, with those below it, and how the path begins.
pub(crate) const INVITES: &[(&str, &str)] = &[
    ("discord.gg", ""),
    ("discord.com", "invite/"),
    ("discordapp.com", "invite/"),
    ("dsc.gg", ""),
    ("invite.gg", ""),
    ("discord.me", ""),
    ("t.me", "+"),
    ("t.me", "joinchat/"),
    ("t.me", "join?invite="),
    ("telegram.me", "+"),
    ("telegram.me", "joinchat/"),
    ("telegram.dog", "joinchat/"),
    ("chat.whatsapp.com", ""),
    ("join.slack.com", ""),
    ("join.skype.com", ""),
    ("signal.group", ""),
    ("groupme.com", "join_group/"),
    ("guilded.gg", "i/"),
    ("matrix.to", "#/"),
    ("line.me", "r/ti/"),
    ("vk.me", "join/"),
    ("teams.live.com", "meet/"),
    ("invite.viber.com", ""),
];
