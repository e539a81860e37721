window.addEventListener("DOMContentLoaded", () => {
  window.SwaggerUIBundle({ url: "/openapi.json", dom_id: "#swagger-ui", validatorUrl: null, supportedSubmitMethods: ["get", "post", "put", "patch", "delete"] });
});
