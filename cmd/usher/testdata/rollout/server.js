const http = require('node:http')

// server.close() closes the connections that are idle at that moment. One on which a request
// is running stays open after the response, and the client may go on using it. With the
// argument "close", the responses after SIGTERM end their connections.
const closes = process.argv[2] === 'close'

const server = http.createServer((request, response) => {
  request.resume()
  request.on('end', () => {
    setTimeout(() => {
      if (closes && !server.listening) response.setHeader('Connection', 'close')
      response.end('finished\n')
    }, Number(request.url.split('?')[1] || 0))
  })
})
// The default of 5 s is shorter than the time for which proxies keep idle connections open:
// then the server closes connections on which the proxy is sending a request.
server.keepAliveTimeout = 75000
server.listen(8080)

process.once('SIGTERM', () => server.close())
