//! Accounts as JSON over HTTP, through the same core functions as the protocol.

use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request, State as Shared};
use axum::http::header::{AUTHORIZATION, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use confab_protocol::command::{Login, Register, Secret, Session};
use confab_protocol::limits::{PASSWORD_BYTES_MAX, USERNAME_BYTES_MAX};
use confab_protocol::model::{DeviceName, DisplayName, Username};
use confab_protocol::reject::{Reject, RejectCode};
use confab_protocol::text::TextError;
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::{State, cookie, origin};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RegisterBody {
    username: String,
    password: String,
    #[serde(default)]
    display_name: String,
    #[serde(default)]
    device: String,
    #[serde(default)]
    owner_token: String,
    #[serde(default)]
    invite: String,
    /// The refresh token comes in a cookie and not in the answer.
    #[serde(default)]
    cookie: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct LoginBody {
    username: String,
    password: String,
    #[serde(default)]
    device: String,
    #[serde(default)]
    device_id: String,
    /// As with [`RegisterBody`].
    #[serde(default)]
    cookie: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RefreshBody {
    /// Without it: that of the cookie, which is then replaced.
    #[serde(default)]
    refresh_token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResetBody {
    token: String,
    password: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SessionBody {
    user_id: String,
    device_id: String,
    username: String,
    display_name: String,
    access_token: String,
    access_expires_ms: u64,
    /// Not beside a cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    refresh_expires_ms: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FailureBody<'a> {
    code: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    retry_after_ms: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
const fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// A reject as an HTTP response.
pub(super) struct Failure {
    status: StatusCode,
    reject: Reject,
}

impl Failure {
    pub(super) fn not_found() -> Self {
        Self { status: StatusCode::NOT_FOUND, reject: Reject::new(RejectCode::Unsupported, "there is nothing here") }
    }

    pub(super) fn not_json() -> Self {
        let reject = Reject::new(RejectCode::Malformed, "send JSON with content-type application/json");
        Self { status: StatusCode::UNSUPPORTED_MEDIA_TYPE, reject }
    }

    pub(super) const fn status(&self) -> StatusCode {
        self.status
    }

    fn name(what: &str) -> impl Fn(TextError) -> Self {
        move |error| Reject::new(RejectCode::NameInvalid, format!("the {what} {error}")).into()
    }
}

impl From<Reject> for Failure {
    fn from(reject: Reject) -> Self {
        let status = match reject.code {
            4000..=4999 => StatusCode::TOO_MANY_REQUESTS,
            9002 | 9003 => StatusCode::SERVICE_UNAVAILABLE,
            9000..=9999 => StatusCode::INTERNAL_SERVER_ERROR,
            2001..=2003 => StatusCode::UNAUTHORIZED,
            2005 => StatusCode::CONFLICT,
            2000..=2999 => StatusCode::FORBIDDEN,
            _ => StatusCode::BAD_REQUEST,
        };
        Self { status, reject }
    }
}

impl From<RejectCode> for Failure {
    fn from(code: RejectCode) -> Self {
        Reject::from(code).into()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Reject { code, detail, retry_after_ms } = &self.reject;
        let body = FailureBody { code: *code, detail, retry_after_ms: *retry_after_ms };
        let mut response = (self.status, Json(body)).into_response();
        if *retry_after_ms > 0 {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after_ms.div_ceil(1000)));
        }
        response
    }
}

/// A JSON body from an allowed page; what serde says about a wrong one stays here, for it may quote it.
pub(super) struct Checked<T>(T);

impl<T: serde::de::DeserializeOwned> FromRequest<State> for Checked<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &State) -> Result<Self, Failure> {
        if !origin::is_allowed(request.headers(), &state.origins) {
            return Err(Reject::new(RejectCode::Forbidden, "this page may not do that").into());
        }
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(JsonRejection::MissingJsonContentType(_)) => Err(Failure::not_json()),
            Err(other) => {
                let reject = Reject::new(RejectCode::Malformed, "the body is not the JSON object that this call takes");
                Err(Failure { status: other.status(), reject })
            }
        }
    }
}

/// Where the refresh token goes.
enum Keep {
    /// Into the answer, for a program to keep.
    Json,
    /// Into a cookie, for the browser.
    Cookie,
}

impl Keep {
    /// Only for a page that may have one.
    fn in_cookie(headers: &HeaderMap, state: &State) -> Result<Self, Failure> {
        cookie::check_page(headers, &state.origins)?;
        Ok(Self::Cookie)
    }

    fn answer(&self, session: &Session, state: &State) -> Response {
        match self {
            Self::Json => body(session, Some(&session.refresh_token)),
            Self::Cookie => cookie::set(body(session, None), session, state.core.clock.now()),
        }
    }
}

pub(super) async fn register(
    Shared(state): Shared<State>,
    Extension(Client(from)): Extension<Client>,
    headers: HeaderMap,
    Checked(body): Checked<RegisterBody>,
) -> Result<Response, Failure> {
    let keep = if body.cookie { Keep::in_cookie(&headers, &state)? } else { Keep::Json };
    let display_name = match body.display_name.as_str() {
        "" => None,
        name => Some(DisplayName::parse(name).map_err(Failure::name("display name"))?),
    };
    let register = Register {
        username: Username::parse(&body.username).map_err(Failure::name("user name"))?,
        password: password(body.password)?,
        display_name,
        device: DeviceName::parse(&body.device).map_err(Failure::name("device name"))?,
        owner_token: (!body.owner_token.is_empty()).then(|| Secret::new(body.owner_token)),
        invite: (!body.invite.is_empty()).then(|| Secret::new(body.invite)),
    };
    Ok(keep.answer(&state.core.register(from, register).await?, &state))
}

pub(super) async fn login(
    Shared(state): Shared<State>,
    Extension(Client(from)): Extension<Client>,
    headers: HeaderMap,
    Checked(body): Checked<LoginBody>,
) -> Result<Response, Failure> {
    let keep = if body.cookie { Keep::in_cookie(&headers, &state)? } else { Keep::Json };
    if body.username.len() > USERNAME_BYTES_MAX {
        return Err(RejectCode::BadCredentials.into());
    }
    let device_id = match body.device_id.as_str() {
        "" => None,
        id => Some(id.parse().map_err(|_| RejectCode::Malformed)?),
    };
    let login = Login {
        username: body.username,
        password: password(body.password)?,
        device: DeviceName::parse(&body.device).map_err(Failure::name("device name"))?,
        device_id,
    };
    Ok(keep.answer(&state.core.login(from, login).await?, &state))
}

pub(super) async fn refresh(
    Shared(state): Shared<State>,
    Extension(Client(from)): Extension<Client>,
    headers: HeaderMap,
    Checked(body): Checked<RefreshBody>,
) -> Result<Response, Failure> {
    if !body.refresh_token.is_empty() {
        let session = state.core.refresh(from, &Secret::new(body.refresh_token)).await?;
        return Ok(Keep::Json.answer(&session, &state));
    }
    // No token at all is refused as over the protocol, whoever asks.
    let token = cookie::find(&headers).ok_or(RejectCode::TokenInvalid)?;
    let keep = Keep::in_cookie(&headers, &state)?;
    Ok(match state.core.refresh(from, &token).await {
        Ok(session) => keep.answer(&session, &state),
        Err(reject) => cookie::refuse(reject.into()),
    })
}

/// Ends the login of the access token or, when that has expired or is not there, of the cookie, which goes in either case.
pub(super) async fn logout(
    Shared(state): Shared<State>,
    Extension(Client(from)): Extension<Client>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let refresh_token = cookie::find(&headers);
    if refresh_token.is_some() {
        cookie::check_page(&headers, &state.origins)?;
    }
    let by_access_token = log_out(&state, &headers).await;
    let Some(refresh_token) = refresh_token else {
        by_access_token?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    if by_access_token.is_err() {
        match state.core.refresh(from, &refresh_token).await {
            Ok(Session { identity, .. }) => state.core.log_out(identity.user, identity.device).await?,
            Err(reject) => return Ok(cookie::refuse(reject.into())),
        }
    }
    Ok(cookie::clear(StatusCode::NO_CONTENT.into_response()))
}

async fn log_out(state: &State, headers: &HeaderMap) -> Result<(), Failure> {
    let bearer =
        headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|text| text.strip_prefix("Bearer "));
    let token = Secret::new(bearer.ok_or(RejectCode::NotAuthenticated)?);
    let identity = state.core.authenticate(&token).await?;
    Ok(state.core.log_out(identity.user, identity.device).await?)
}

/// A new password by a token of an admin's. It logs nobody in: who has the token may not know the name.
pub(super) async fn reset(
    Shared(state): Shared<State>,
    Extension(Client(from)): Extension<Client>,
    Checked(body): Checked<ResetBody>,
) -> Result<StatusCode, Failure> {
    let password = password(body.password)?;
    state.core.reset_password(from, &Secret::new(body.token), &password).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn password(text: String) -> Result<Secret, Failure> {
    if text.len() > PASSWORD_BYTES_MAX {
        return Err(Reject::new(RejectCode::Malformed, "the password is too long").into());
    }
    Ok(Secret::new(text))
}

fn body(session: &Session, refresh_token: Option<&Secret>) -> Response {
    let identity = &session.identity;
    Json(SessionBody {
        user_id: identity.user.to_string(),
        device_id: identity.device.to_string(),
        username: identity.username.to_string(),
        display_name: identity.display_name.to_string(),
        access_token: session.access_token.expose().to_owned(),
        access_expires_ms: identity.token_expires.0,
        refresh_token: refresh_token.map(|token| token.expose().to_owned()),
        refresh_expires_ms: session.refresh_expires.0,
    })
    .into_response()
}
