//! Tools that run at the provider and are billed by the call, and costs that providers report themselves.

use super::error::ExtractError;
use super::json::Object;
use super::units::{AUDIO_SECOND_IN, CODE_EXECUTION, SEARCH_SOURCE, SOCIAL_SEARCH, STORAGE_SEARCH, Units, WEB_SEARCH};
use crate::amount::Usd;

/// Decimal places of xAI's ticks: 10^10 of them are a dollar.
const TICK_PLACES: i64 = 10;

/// Names of xAI's counts, in its REST answers and as its other interfaces spell them.
const XAI_TOOLS: [(&str, &str); 8] = [
    ("web_search_calls", WEB_SEARCH),
    ("x_search_calls", SOCIAL_SEARCH),
    ("code_interpreter_calls", CODE_EXECUTION),
    ("file_search_calls", STORAGE_SEARCH),
    ("SERVER_SIDE_TOOL_WEB_SEARCH", WEB_SEARCH),
    ("SERVER_SIDE_TOOL_X_SEARCH", SOCIAL_SEARCH),
    ("SERVER_SIDE_TOOL_CODE_EXECUTION", CODE_EXECUTION),
    ("SERVER_SIDE_TOOL_COLLECTIONS_SEARCH", STORAGE_SEARCH),
];

/// Reads the units that usage objects of OpenAI's family carry.
pub(super) fn read_units(usage: &Object<'_>, units: &mut Units) -> Result<(), ExtractError> {
    // Perplexity.
    units.read(Some(usage), &[("num_search_queries", WEB_SEARCH)])?;
    let search = usage.object_if("tool_calls_details").and_then(|details| details.object_if("search_web"));
    units.read(search.as_ref(), &[("invocation", WEB_SEARCH)])?;
    // OpenRouter.
    units.read(usage.object_if("server_tool_use").as_ref(), &[("web_search_requests", WEB_SEARCH)])?;
    // xAI: sources are what its older search charged for, calls what its tools charge for.
    units.read(Some(usage), &[("num_sources_used", SEARCH_SOURCE)])?;
    for key in ["server_side_tool_usage_details", "server_side_tool_usage"] {
        units.read(usage.object_if(key).as_ref(), &XAI_TOOLS)?;
    }
    // Mistral hears audio by the second, besides its tokens; transcriptions may be billed by the second alone.
    units.set(AUDIO_SECOND_IN, usage.quantity("prompt_audio_seconds")?);
    if usage.is("type", "duration") {
        units.set(AUDIO_SECOND_IN, usage.quantity("seconds")?);
    }
    Ok(())
}

/// The cost in US dollars that the provider itself states.
pub(super) fn reported_cost(usage: &Object<'_>, cost_in_dollars: bool) -> Result<Option<Usd>, ExtractError> {
    if let Some(ticks) = usage.dollars("cost_in_usd_ticks", TICK_PLACES)? {
        return Ok(Some(ticks));
    }
    if let Some(total) = usage.object_if("cost").map_or(Ok(None), |cost| cost.dollars("total_cost", 0))? {
        return Ok(Some(total));
    }
    // Who else puts a number here means a currency or credits of its own.
    if cost_in_dollars && usage.is_number("cost") { usage.dollars("cost", 0) } else { Ok(None) }
}

/// Calls of tools that an answer lists among its output, for APIs whose usage does not count them.
#[derive(Debug, Default)]
pub(super) struct ToolCalls {
    web_searches: u64,
    storage_searches: u64,
}

impl ToolCalls {
    /// Counts the calls in `answer`, whose output is complete whenever it is listed.
    pub(super) fn take(&mut self, answer: &Object<'_>) {
        let items = answer.objects_if("output");
        if items.is_empty() {
            return;
        }
        let ran = |item: &&Object<'_>, kind: &str| {
            item.is("type", kind) && item.text("status").is_none_or(|status| status == "completed")
        };
        // Opening a page or finding something in it is part of a search that was paid for.
        let searches = |item: &&Object<'_>| {
            let action = item.object_if("action").and_then(|action| action.text("type"));
            ran(item, "web_search_call") && action.is_none_or(|action| action == "search")
        };
        self.web_searches = items.iter().filter(searches).map(|_| 1).sum();
        self.storage_searches = items.iter().filter(|item| ran(item, "file_search_call")).map(|_| 1).sum();
    }

    /// Adds them where the usage itself did not count them.
    pub(super) fn add_to(self, units: &mut Units) -> Result<(), ExtractError> {
        for (unit, number) in [(WEB_SEARCH, self.web_searches), (STORAGE_SEARCH, self.storage_searches)] {
            if !units.has(unit) {
                units.set_number(unit, number)?;
            }
        }
        Ok(())
    }
}
