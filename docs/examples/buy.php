<?php
// Holds two units of a product and orders them. Prints the order's status and id.
declare(strict_types=1);

$base = getenv('HOLDFAST_URL') ?: 'http://127.0.0.1:8080';
$product = (int) (getenv('PRODUCT_ID') ?: 1);

/** Sends one request. Returns status, headers by lower-case name, and document. */
function call(string $method, string $path, ?array $body = null, array $headers = []): ?array
{
    global $base;
    $lines = ['Content-Type: application/json'];
    foreach ($headers as $name => $value) {
        $lines[] = "$name: $value";
    }
    $http = ['method' => $method, 'header' => $lines, 'ignore_errors' => true, 'timeout' => 30];
    if ($body !== null) {
        $http['content'] = json_encode($body);
    }
    $text = @file_get_contents($base . $path, false, stream_context_create(['http' => $http]));
    if ($text === false) {
        return null;
    }
    $received = [];
    foreach (array_slice($http_response_header, 1) as $line) {
        [$name, $value] = explode(':', $line, 2);
        $received[strtolower($name)] = trim($value);
    }
    return [(int) explode(' ', $http_response_header[0])[1], $received, json_decode($text, true)];
}

/** Sends a request, and repeats it after 429, 503 or no response. The key makes that safe. After 202, polls for the response. */
function send(string $path, array $body, array $headers = []): array
{
    $headers += ['Idempotency-Key' => bin2hex(random_bytes(16))];
    for ($attempt = 0; $attempt < 60; $attempt++) {
        [$status, $received, $document] = call('POST', $path, $body, $headers) ?? [0, [], null];
        if ($status === 202) {
            return outcome($received['location']);
        }
        if (!in_array($status, [0, 429, 503], true)) {
            return [$status, $document];
        }
        sleep((int) ($received['retry-after'] ?? 1));
    }
    throw new RuntimeException("no response from $path");
}

/** Polls for the response of a request that got 202. */
function outcome(string $location): array
{
    for ($attempt = 0; $attempt < 60; $attempt++) {
        $request = (call('GET', $location) ?? [0, [], []])[2];
        if (($request['status'] ?? '') === 'done') {
            return [$request['response']['status'], $request['response']['body']];
        }
        sleep(1);
    }
    throw new RuntimeException("no outcome at $location");
}

function created(array $result): array
{
    [$status, $document] = $result;
    if ($status !== 201) {
        // A problem document: {"code": "insufficient_stock", …}
        throw new RuntimeException($document['code']);
    }
    return $document;
}

$key = ['Idempotency-Key' => bin2hex(random_bytes(16))];
$hold = created(send('/api/holds', ['product_id' => $product, 'quantity' => 2], $key));
// The same key returns the same hold. No more units are held.
$again = created(send('/api/holds', ['product_id' => $product, 'quantity' => 2], $key));
if ($again !== $hold) {
    throw new RuntimeException('another hold');
}

$order = created(send('/api/orders', ['hold_id' => $hold['hold_id']], ['Prefer' => 'respond-async']));
echo "{$order['status']} {$order['order_id']}\n";
