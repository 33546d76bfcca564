const http = require('node:http')

const server = http.createServer((request, response) => {
  response.write('started\n')
  setTimeout(() => response.end('finished\n'), 1200)
})
server.listen(8080)

// As in Node's documentation. The handler is removed after the first signal, so a
// second SIGTERM kills the process.
process.once('SIGTERM', () => server.close(() => console.log('server closed')))
