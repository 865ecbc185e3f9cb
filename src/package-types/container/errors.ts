import type { RenderError } from '../../http/error-handler.ts'

/** An error in the form of the OCI distribution-spec. */
export const renderError: RenderError = (error) => ({
  status: error.status,
  body: { errors: [{ code: 'UNKNOWN', message: error.message }] },
})
