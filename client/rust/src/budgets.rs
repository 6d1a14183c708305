//! Keeping budgets.

use std::collections::HashMap;

use tollgate_proto::v1;
use uuid::Uuid;

use crate::client::Client;
use crate::error::Error;
use crate::pages::{self, Pages};

const NO_BUDGET: Error = Error::Protocol("a budget was answered without its content");

impl Client {
    /// Creates a budget. Safe to retry: the request has an identity of its own.
    ///
    /// # Errors
    /// [`Error::Refused`], for example with the reason `BUDGET_ALREADY_EXISTS`, or a transient error.
    pub async fn create_budget(&self, budget: impl Into<v1::Budget>) -> Result<v1::Budget, Error> {
        let request = v1::CreateBudgetRequest {
            budget: Some(budget.into()),
            request_id: Uuid::now_v7().to_string(),
            validate_only: false,
        };
        let budgets = self.budgets();
        let answer = self
            .call(request, |request| {
                let mut budgets = budgets.clone();
                async move { budgets.create_budget(request).await }
            })
            .await?;
        answer.budget.ok_or(NO_BUDGET)
    }

    /// One budget, also a deleted one.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason `BUDGET_NOT_FOUND`, or a transient error.
    pub async fn get_budget(&self, budget_id: impl Into<String>) -> Result<v1::Budget, Error> {
        let request = v1::GetBudgetRequest { budget_id: budget_id.into() };
        let budgets = self.budgets();
        let answer = self
            .call(request, |request| {
                let mut budgets = budgets.clone();
                async move { budgets.get_budget(request).await }
            })
            .await?;
        answer.budget.ok_or(NO_BUDGET)
    }

    /// Budgets by their ids, over all pages from the request's `page_token` on.
    #[must_use]
    pub fn list_budgets(&self, request: v1::ListBudgetsRequest) -> Pages<v1::Budget> {
        let client = self.clone();
        pages::stream(request.page_token.clone(), move |page_token| {
            let client = client.clone();
            let request = v1::ListBudgetsRequest { page_token, ..request.clone() };
            async move {
                let budgets = client.budgets();
                let page = client
                    .call(request, |request| {
                        let mut budgets = budgets.clone();
                        async move { budgets.list_budgets(request).await }
                    })
                    .await?;
                Ok((page.budgets, page.next_page_token))
            }
        })
    }

    /// Changes the named fields of a budget, for example `["limit", "rules"]`. With an etag in the budget, only if it is the
    /// current one.
    ///
    /// # Errors
    /// [`Error::Refused`], for example with the reason `ETAG_MISMATCH`, or a transient error.
    pub async fn update_budget<F: Into<String>>(
        &self,
        budget: impl Into<v1::Budget>,
        fields: impl IntoIterator<Item = F>,
    ) -> Result<v1::Budget, Error> {
        let request = v1::UpdateBudgetRequest {
            budget: Some(budget.into()),
            update_mask: Some(prost_types::FieldMask { paths: fields.into_iter().map(Into::into).collect() }),
            request_id: Uuid::now_v7().to_string(),
            validate_only: false,
        };
        let budgets = self.budgets();
        let answer = self
            .call(request, |request| {
                let mut budgets = budgets.clone();
                async move { budgets.update_budget(request).await }
            })
            .await?;
        answer.budget.ok_or(NO_BUDGET)
    }

    /// Deletes a budget; its history stays readable. With an etag, only if it is the current one.
    ///
    /// # Errors
    /// [`Error::Refused`], for example with the reason `BUDGET_DELETED`, or a transient error.
    pub async fn delete_budget(&self, budget_id: impl Into<String>, etag: Option<String>) -> Result<v1::Budget, Error> {
        let request = v1::DeleteBudgetRequest {
            budget_id: budget_id.into(),
            etag: etag.unwrap_or_default(),
            request_id: Uuid::now_v7().to_string(),
        };
        let budgets = self.budgets();
        let answer = self
            .call(request, |request| {
                let mut budgets = budgets.clone();
                async move { budgets.delete_budget(request).await }
            })
            .await?;
        answer.budget.ok_or(NO_BUDGET)
    }

    /// Gives one counter of a budget another limit. Setting it again replaces it.
    ///
    /// # Errors
    /// [`Error::Refused`] or a transient error.
    pub async fn set_budget_override(&self, budget_override: v1::BudgetOverride) -> Result<v1::BudgetOverride, Error> {
        let request = v1::SetBudgetOverrideRequest { budget_override: Some(budget_override), validate_only: false };
        let budgets = self.budgets();
        let answer = self
            .call(request, |request| {
                let mut budgets = budgets.clone();
                async move { budgets.set_budget_override(request).await }
            })
            .await?;
        answer.budget_override.ok_or(Error::Protocol("an override was answered without its content"))
    }

    /// The overrides of a budget, over all pages.
    #[must_use]
    pub fn list_budget_overrides(&self, budget_id: impl Into<String>) -> Pages<v1::BudgetOverride> {
        let client = self.clone();
        let budget_id = budget_id.into();
        pages::stream(String::new(), move |page_token| {
            let client = client.clone();
            let request = v1::ListBudgetOverridesRequest { budget_id: budget_id.clone(), page_size: 0, page_token };
            async move {
                let budgets = client.budgets();
                let page = client
                    .call(request, |request| {
                        let mut budgets = budgets.clone();
                        async move { budgets.list_budget_overrides(request).await }
                    })
                    .await?;
                Ok((page.budget_overrides, page.next_page_token))
            }
        })
    }

    /// Removes an override, so that the counter has the budget's limit again. Removing one that is not there succeeds.
    ///
    /// # Errors
    /// [`Error::Refused`] or a transient error.
    pub async fn delete_budget_override(
        &self,
        budget_id: impl Into<String>,
        per_values: HashMap<String, String>,
        etag: Option<String>,
    ) -> Result<(), Error> {
        let request = v1::DeleteBudgetOverrideRequest {
            budget_id: budget_id.into(),
            per_values: per_values.into_iter().collect(),
            etag: etag.unwrap_or_default(),
        };
        let budgets = self.budgets();
        self.call(request, |request| {
            let mut budgets = budgets.clone();
            async move { budgets.delete_budget_override(request).await }
        })
        .await?;
        Ok(())
    }

    /// The counters of budgets that satisfy the request, over all pages from its `page_token` on.
    #[must_use]
    pub fn budget_states(&self, request: v1::ListBudgetStatesRequest) -> Pages<v1::BudgetState> {
        let client = self.clone();
        pages::stream(request.page_token.clone(), move |page_token| {
            let client = client.clone();
            let request = v1::ListBudgetStatesRequest { page_token, ..request.clone() };
            async move {
                let budgets = client.budgets();
                let page = client
                    .call(request, |request| {
                        let mut budgets = budgets.clone();
                        async move { budgets.list_budget_states(request).await }
                    })
                    .await?;
                Ok((page.states, page.next_page_token))
            }
        })
    }
}
