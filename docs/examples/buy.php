<?php
// Holds two units of a product and orders them. Prints the order's status and id.
declare(strict_types=1);

$base = getenv('HOLDFAST_URL') ?: 'http://127.0.0.1:8080';
$product = (int) (getenv('PRODUCT_ID') ?: 1);

/** One request: status, headers by lower-case name, and document. */
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
    $told = [];
    foreach (array_slice($http_response_header, 1) as $line) {
        [$name, $value] = explode(':', $line, 2);
        $told[strtolower($name)] = trim($value);
    }
    return [(int) explode(' ', $http_response_header[0])[1], $told, json_decode($text, true)];
}

/** Asks until there is an answer that counts; the key makes that safe. A 202 is followed to its outcome. */
function ask(string $path, array $body, array $headers = []): array
{
    $headers += ['Idempotency-Key' => bin2hex(random_bytes(16))];
    for ($tries = 0; $tries < 60; $tries++) {
        [$status, $told, $document] = call('POST', $path, $body, $headers) ?? [0, [], null];
        if ($status === 202) {
            return outcome($told['location']);
        }
        if (!in_array($status, [0, 429, 503], true)) {
            return [$status, $document];
        }
        sleep((int) ($told['retry-after'] ?? 1));
    }
    throw new RuntimeException("no answer from $path");
}

/** What became of a request that was answered 202. */
function outcome(string $location): array
{
    for ($tries = 0; $tries < 60; $tries++) {
        $request = (call('GET', $location) ?? [0, [], []])[2];
        if (($request['status'] ?? '') === 'done') {
            return [$request['response']['status'], $request['response']['body']];
        }
        sleep(1);
    }
    throw new RuntimeException("no outcome at $location");
}

function created(array $answer): array
{
    [$status, $document] = $answer;
    if ($status !== 201) {
        // A problem document: {"code": "insufficient_stock", …}
        throw new RuntimeException($document['code']);
    }
    return $document;
}

$key = ['Idempotency-Key' => bin2hex(random_bytes(16))];
$hold = created(ask('/api/holds', ['product_id' => $product, 'quantity' => 2], $key));
// The same key, the same hold: nothing more is set aside.
$again = created(ask('/api/holds', ['product_id' => $product, 'quantity' => 2], $key));
if ($again !== $hold) {
    throw new RuntimeException('another hold');
}

$order = created(ask('/api/orders', ['hold_id' => $hold['hold_id']], ['Prefer' => 'respond-async']));
echo "{$order['status']} {$order['order_id']}\n";
