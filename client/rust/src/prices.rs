//! Keeping prices, and asking what a call would cost.

use std::time::SystemTime;

use tollgate_proto::v1;
use uuid::Uuid;

use crate::client::Client;
use crate::count::wire_time;
use crate::error::Error;
use crate::pages::{self, Pages};

const NO_PRICE: Error = Error::Protocol("a price was answered without its content");

impl Client {
    /// Sets a price, and answers with it and those that it supersedes. Safe to retry: the request has an identity of its own.
    ///
    /// # Errors
    /// [`Error::Refused`], for example with the reason `INVALID_FIELD`, or a transient error.
    pub async fn set_price(&self, price: impl Into<v1::Price>) -> Result<v1::SetPriceResponse, Error> {
        self.send_price(price.into(), false).await
    }

    /// What setting a price would do, without doing it.
    ///
    /// # Errors
    /// As [`Client::set_price`].
    pub async fn preview_price(&self, price: impl Into<v1::Price>) -> Result<v1::SetPriceResponse, Error> {
        self.send_price(price.into(), true).await
    }

    async fn send_price(&self, price: v1::Price, validate_only: bool) -> Result<v1::SetPriceResponse, Error> {
        let request = v1::SetPriceRequest { price: Some(price), request_id: Uuid::now_v7().to_string(), validate_only };
        let prices = self.prices();
        self.call(request, |request| {
            let mut prices = prices.clone();
            async move { prices.set_price(request).await }
        })
        .await
    }

    /// Prices that satisfy the request, those of the tenant before those of the catalog, over all pages from its `page_token`
    /// on.
    #[must_use]
    pub fn list_prices(&self, request: v1::ListPricesRequest) -> Pages<v1::Price> {
        let client = self.clone();
        pages::stream(request.page_token.clone(), move |page_token| {
            let client = client.clone();
            let request = v1::ListPricesRequest { page_token, ..request.clone() };
            async move {
                let page = client.price_page(request).await?;
                Ok((page.prices, page.next_page_token))
            }
        })
    }

    /// One page of prices, with the version of the catalog.
    ///
    /// # Errors
    /// [`Error::Refused`], for example with the reason `PAGE_TOKEN_INVALID`, or a transient error.
    pub async fn price_page(&self, request: v1::ListPricesRequest) -> Result<v1::ListPricesResponse, Error> {
        let prices = self.prices();
        self.call(request, |request| {
            let mut prices = prices.clone();
            async move { prices.list_prices(request).await }
        })
        .await
    }

    /// Ends a price of the tenant at a moment, now where none is given. Safe to retry: once more changes nothing.
    ///
    /// # Errors
    /// [`Error::Refused`], for example with the reason `PRICE_NOT_FOUND` or `PRICE_OF_CATALOG`, or a transient error.
    pub async fn end_price(&self, price_id: impl Into<String>, end: Option<SystemTime>) -> Result<v1::Price, Error> {
        let request = v1::EndPriceRequest {
            price_id: price_id.into(),
            end_time: end.map(wire_time),
            request_id: Uuid::now_v7().to_string(),
        };
        let prices = self.prices();
        let answer = self
            .call(request, |request| {
                let mut prices = prices.clone();
                async move { prices.end_price(request).await }
            })
            .await?;
        answer.price.ok_or(NO_PRICE)
    }

    /// What a call would cost. Records nothing.
    ///
    /// # Errors
    /// [`Error::Refused`], for example with the reason `INVALID_FIELD`, or a transient error.
    pub async fn estimate_cost(
        &self,
        request: impl Into<v1::EstimateCostRequest>,
    ) -> Result<v1::EstimateCostResponse, Error> {
        let prices = self.prices();
        self.call(request.into(), |request| {
            let mut prices = prices.clone();
            async move { prices.estimate_cost(request).await }
        })
        .await
    }
}
