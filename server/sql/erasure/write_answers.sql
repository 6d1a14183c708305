UPDATE adjustment_request SET answer = erased.answer
FROM unnest($2::uuid[], $3::text[], $4::jsonb[]) AS erased (request_id, step, answer)
WHERE adjustment_request.tenant_id = $1
    AND adjustment_request.request_id = erased.request_id AND adjustment_request.step = erased.step
